"""The command line: results on stdout, everything else on stderr, one error at most."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import build
from builder import host, venv
from builder.errors import BuildError
from builder.verbs import Verb

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def build_py(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """build.py's main(), as if it had been called."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(*words: str | Path) -> Done:
        try:
            status = build.main([str(word) for word in words])
        except SystemExit as e:
            status = int(e.code or 0)
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_list_and_describe(build_py: Run) -> None:
    assert "vps-amd64" in build_py("list").stdout
    described = build_py("describe", "vps-amd64").stdout
    assert "linux-image-cloud-amd64" in described
    assert "label ZTGATE" in described


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["describe", "vps-amd46"], 1, "error: there is no image 'vps-amd46'; nearest: vps-amd64\nhint:  "),
        (["build", "vps"], 1, "error: there is no image 'vps'"),
        (["build", "vps-amd64", "--zerotier", "/no.deb"], 1, "--zerotier /no.deb: there is no such file"),
        (["build", "vps-amd64", "--zerotier", __file__], 1, "no Debian package"),
        (["build", "vps-amd64", "--config", "/no.yaml", "--zerotier", "/no.deb"], 1, "there is no such file"),
        (["configure", "/no.img", "--config", "/no.yaml"], 1, "error: /no.img: there is no such file"),
        (["preauthorize", "--config", "x"], 1, "error: an image or --node is needed, and not both"),
        (["preauthorize", "/no.img", "--config", "x", "--ipv6", "x"], 1, "error: --ipv6 goes with --node"),
        (["preauthorize", "/no.img", "--config", "/no.yaml"], 1, "error: /no.yaml: there is no such file"),
        (["run"], 1, "error: run what?"),
        (["run", "no-such-program"], 1, "no-such-program"),
        (["explode"], 2, "invalid choice"),
        ([], 2, "VERB"),
        (["build", "vps-amd64", "--cahce", "x"], 2, "--cahce"),
    ],
)
def test_errors(build_py: Run, words: list[str], status: int, message: str, tmp_path: Path) -> None:
    if words[:1] == ["build"]:
        words = [*words, "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "o")]
    done = build_py(*words)
    assert done.status == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_failure_for_machines(build_py: Run, tmp_path: Path) -> None:
    where = ("--cache", tmp_path / "c", "--out", tmp_path / "o")
    done = build_py("build", "vps-amd64", "--json", "--zerotier", "/no.deb", *where)
    assert done.status == 1
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert said["error"] in done.stderr
    assert set(said) == {"ok", "error", "hint"}


def test_run_finds_the_tools_of_the_environment() -> None:
    command = [sys.executable, str(ROOT / "build.py"), "run", "python", "-c", "import sys; print(sys.prefix)"]
    assert subprocess.check_output(command, text=True).strip() == str(ROOT / ".venv")


def test_without_the_environment_it_goes_there_first() -> None:
    """Any Python will do to call it with; ours is then the one that runs."""
    python = Path(sys.executable).resolve()
    done = subprocess.run(
        [python, "-S", ROOT / "build.py", "describe", "vps"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "nearest: vps-a" in done.stderr


def test_what_the_system_refuses(build_py: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied", "/root/x")

    monkeypatch.setattr(build, "VERBS", (Verb("list", "", refuse),))
    done = build_py("list")
    assert (done.status, done.stderr) == (1, "error: /root/x: Permission denied\n")


def test_control_c(build_py: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "VERBS", (Verb("list", "", interrupt),))
    done = build_py("list")
    assert done.status == 130
    assert "nothing half-written" in done.stderr


def test_every_verb_can_be_asked_for_help(build_py: Run) -> None:
    for verb in build.VERBS:
        if verb.name != "demo":  # the lab's to answer
            assert build_py(verb.name, "--help").status == 0


def test_the_needs_are_known_by_verb() -> None:
    for need in host.NEEDS:
        assert need.why
        assert set(need.verbs) <= {
            host.BUILD,
            host.CONFIGURE,
            host.MINISIGN,
            host.OPENSSH,
            host.DEMO,
            host.TEST,
            host.BENCH,
        }
    assert "mtools" in {need.package for need in host.NEEDS if host.CONFIGURE in need.verbs}


NEED = host.Need("no-such-tool", "no-such-package", "is for nothing", (host.BUILD,))


def test_without_root_or_sudo_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "NEEDS", (NEED,))
    monkeypatch.setattr(host, "_privilege", lambda: None)
    monkeypatch.setattr(host, "which", lambda tool: Path("/usr/bin/apt-get") if tool == "apt-get" else None)
    with pytest.raises(BuildError, match=r"missing: no-such-package \(is for nothing\)") as e:
        host.ensure([host.BUILD], print)
    assert e.value.hint == "sudo apt-get install --yes --no-install-recommends no-such-package"
    host.ensure([host.CONFIGURE], print)  # which does not need it


def test_no_server_is_started_that_a_package_brings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool, ran, said = tmp_path / "tool", list[list[str]](), list[str]()

    def run(argv: list[str], **_: object) -> str:
        ran.append(argv)
        tool.touch()
        return ""

    need = host.Need(str(tool), "some-server", "is for this", (host.TEST,), "some-server.service")
    monkeypatch.setattr(host, "NEEDS", (need,))
    monkeypatch.setattr(host, "_privilege", list)
    monkeypatch.setattr(host, "run", run)
    monkeypatch.setattr(host, "which", lambda tool: Path("/usr/bin") / tool)
    host.ensure([host.TEST], said.append)
    assert ran[0] == ["systemctl", "mask", "some-server.service"]
    assert said[1] == "some-server.service: masked, so that none runs on this computer (systemctl unmask)"


def test_packages_are_announced_and_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool, ran, said = tmp_path / "tool", list[list[str]](), list[str]()

    def run(argv: list[str], **_: object) -> str:
        ran.append(argv)
        tool.touch()
        return ""

    monkeypatch.setattr(host, "NEEDS", (host.Need(str(tool), "some-package", "is for this", (host.BUILD,)),))
    monkeypatch.setattr(host, "_privilege", lambda: ["sudo"])
    monkeypatch.setattr(host, "run", run)
    monkeypatch.setattr(host, "which", lambda _: Path("/usr/bin/apt-get"))
    host.ensure([host.BUILD], said.append)
    assert said == ["installing some-package (is for this)"]
    assert [argv[:3] for argv in ran] == [["sudo", "apt-get", "update"], ["sudo", "apt-get", "install"]]
    assert "some-package" in ran[1]
    host.ensure([host.BUILD], said.append)
    assert len(ran) == 2


def test_on_a_system_without_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "NEEDS", (NEED,))
    monkeypatch.setattr(host, "which", lambda _: None)
    with pytest.raises(BuildError) as e:
        host.ensure([host.BUILD], print)
    assert "Debian 12, 13 and Ubuntu 24.04" in e.value.hint


def make_root(tmp_path: Path) -> Path:
    for name in venv.REQUIREMENTS:
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


def test_the_environment_is_made_again_only_when_its_requirements_change(tmp_path: Path) -> None:
    root, said = make_root(tmp_path), list[str]()
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to("/bin/true")
    (root / ".venv" / venv.STAMP).write_text(venv._wanted(root))
    assert venv.ensure(root, said.append) == root / ".venv/bin/python"
    assert said == []
    (root / "requirements.txt").write_text("# something\n")
    venv.ensure(root, said.append)
    assert said == ["installing requirements-dev.txt into .venv"]
    venv.ensure(root, said.append)
    assert len(said) == 1


def test_an_old_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venv, "MINIMUM", (99, 0))
    with pytest.raises(BuildError, match=r"Python 99\.0 or newer is needed"):
        venv.ensure(tmp_path, print)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_verbs_and_images(build_py: Run, shell: str) -> None:
    done = build_py("completion", shell)
    assert done.status == 0
    for word in ("preauthorize", "--zerotier", "vps-amd64", "rpi-arm64"):
        assert word in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_the_manual_page_has_every_verb(build_py: Run) -> None:
    page = build_py("man").stdout.replace("\\-", "-")
    assert page.startswith(".TH ZTGATE-BUILD")
    for verb in build.VERBS:
        assert rf"\,{verb.name}\/" in page and verb.help[:20] in page
    assert "130 stopped by ^C" in " ".join(page.split())


def test_quiet_says_nothing_on_the_way(build_py: Run, tmp_path: Path) -> None:
    done = build_py(
        "build", "vps-amd64", "--quiet", "--zerotier", "/no.deb", "--cache", tmp_path, "--out", tmp_path
    )
    assert done.status == 1
    assert done.stderr.startswith("error: ")
