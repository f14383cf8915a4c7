"""The command line: results on stdout, everything else on stderr, one error at most."""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pexpect
import pytest

import build
from builder import commandline, host, statuses
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
        (["explode"], 2, "error: explode: there is no such verb"),
        (["biuld", "vps-amd64"], 2, "error: biuld: there is no such verb; nearest: build\n"),
        (["--verbose"], 2, "error: the following arguments are required: VERB\nhint:  ./build.py --help\n"),
        ([], 2, "error: what is to be done?\nhint:  ./build.py --help"),
        (
            ["build"],
            2,
            "error: build: the following arguments are required: IMAGE\nhint:  ./build.py build --help",
        ),
        (
            ["build", "vps-amd64", "--cahce", "x"],
            2,
            "build: --cahce: there is no such option; nearest: --cache",
        ),
        (["list", "vps-amd64"], 2, "error: list: vps-amd64: one word too many\n"),
        (["clean", "--keep", "few"], 2, "error: clean: argument --keep: invalid int value: 'few'\n"),
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


@pytest.mark.parametrize(
    "words",
    [
        ["vps-amd64", "--out", "x", "--", "ls", "-l", "--", "/"],
        ["vps-amd64", "--", "ls", "-l", "--", "/"],
        ["--out", "x", "vps-amd64", "--", "ls", "-l", "--", "/"],
        ["vps-amd64", "ls", "--out", "x"],
    ],
)
def test_a_command_comes_after_the_options_or_before_them(words: list[str]) -> None:
    options = commandline.parse(["shell", *words], build.VERBS, None)
    assert options.command == (["ls", "-l", "--", "/"] if "--" in words else ["ls"])
    with pytest.raises(BuildError, match="no such option"):
        commandline.parse(["shell", "--ouch", *words], build.VERBS, None)


def of_list(monkeypatch: pytest.MonkeyPatch, problem: BaseException | None, status: int = 0) -> None:
    """`list` ends in another way."""

    def end(_: object) -> int:
        if problem:
            raise problem
        return status

    monkeypatch.setattr(build, "VERBS", (Verb("list", "", end, json="x"),))


STATUSES = [
    (None, [], statuses.DONE),
    (BuildError("x"), [], statuses.FAILED),
    (OSError(28, "No space left on device"), [], statuses.FAILED),
    (None, ["--no-such-option"], statuses.MISUSED),
    (KeyboardInterrupt(), [], statuses.STOPPED),
]


@pytest.mark.parametrize(("problem", "more", "status"), STATUSES)
def test_each_status(
    build_py: Run,
    monkeypatch: pytest.MonkeyPatch,
    problem: BaseException | None,
    more: list[str],
    status: int,
) -> None:
    of_list(monkeypatch, problem)
    assert build_py("list", *more).status == status
    said = json.loads(build_py("list", *more, "--json").stdout or '{"ok": true}')
    assert said["ok"] is (status == statuses.DONE)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_ended_by_a_signal(number: signal.Signals) -> None:
    script = (
        "import build, os; "
        f"build.VERBS = (build.Verb('list', '', lambda _: os.kill(os.getpid(), {int(number)})),)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; build.main(['list'])"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 128 + number
    assert done.returncode in {row.number for row in statuses.STATUSES}
    assert done.stderr == b""


def test_the_table_of_statuses_is_everywhere(build_py: Run) -> None:
    numbers = [row.number for row in statuses.STATUSES]
    assert {status for *_, status in STATUSES} == set(numbers) - {129, 143}
    assert statuses.table() in (ROOT / "README.md").read_text()
    for page in (build_py("--help").stdout, build_py("man").stdout.replace("\\-", "-")):
        assert statuses.sentence().split(": ", 1)[1] in " ".join(page.split())


# Every verb with a result, and a command line that fails in it. The others: what they print is for a program
# that has a form of its own for it, or is another program's.
FAILING: dict[str, list[str]] = {
    "list": ["x"],
    "describe": ["no-such-image"],
    "build": ["no-such-image"],
    "lock": ["no-such-image"],
    "why": ["no-such-image"],
    "size": ["no-such-image"],
    "clean": ["--cache", "/nowhere"],
    "configure": ["/no.img", "--config", "/no.yaml"],
    "preauthorize": ["/no.img", "--config", "/no.yaml"],
    "check": ["vps-amd64", "--target", "no-such-place"],
    "export": ["vps-amd64", "--format", "no-such-format"],
    "check-signature": ["/no.key", "/no.file"],
    "flash": ["no-such-image", "/dev/no"],
    "verify": ["/no.img"],
    "client": ["--config", "/no.yaml", "--out", "/no"],
    "setup": ["--no-such-option"],
    "standin": ["x"],
}


def test_which_verbs_have_a_result() -> None:
    assert {verb.name for verb in build.VERBS if verb.json} == set(FAILING)
    others = {"shell", "run", "demo", "bench", "schema", "completion", "man"}
    assert {verb.name for verb in build.VERBS} == set(FAILING) | others


@pytest.mark.parametrize("verb", FAILING)
def test_an_error_is_one_object_on_stdout(build_py: Run, verb: str) -> None:
    done = build_py(verb, *FAILING[verb], "--json")
    assert done.status in (statuses.FAILED, statuses.MISUSED)
    said = json.loads(done.stdout)
    assert set(said) == {"ok", "error", "hint"}
    assert said["ok"] is False
    assert done.stderr.endswith(
        f"error: {said['error']}\n" + (f"hint:  {said['hint']}\n" if said["hint"] else "")
    )


@pytest.mark.parametrize(
    ("words", "key"), [(["list"], "images"), (["describe", "vps-amd64"], "packages"), (["flash"], "disks")]
)
def test_a_result_is_one_object_on_stdout(build_py: Run, words: list[str], key: str) -> None:
    done = build_py(*words, "--json")
    said = json.loads(done.stdout)
    assert (done.status, said["ok"]) == (0, True)
    assert isinstance(said[key], list)


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals(environment: dict[str, str], coloured: bool) -> None:
    """On a terminal, and as NO_COLOR says; into a file there are none."""
    script = (
        "from builder.progress import Progress\n"
        "with Progress() as shown: shown.started('disk', 'x', None); shown.finished('disk', 1.0)"
    )
    plain = {"PATH": os.environ["PATH"], **environment}
    words = [sys.executable, "-c", script]
    typed = bytes(pexpect.run(shlex.join(words), env=cast(Any, plain), cwd=str(ROOT)))  # type: ignore[arg-type]
    assert (re.search(rb"\x1b\[[0-9;]*3[0-9]m", typed) is not None) is coloured
    assert b"disk" in typed
    piped = subprocess.run(words, env=plain, cwd=ROOT, capture_output=True).stderr
    assert b"\x1b" not in piped
    assert b"disk" in piped


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


def test_every_word_of_the_command_line_is_explained() -> None:
    for verb in build.VERBS:
        own = argparse.ArgumentParser()
        verb.arguments(own)
        unexplained = [action.dest for action in own._actions if not action.help]
        assert not unexplained, verb.name


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


def test_quiet_says_nothing_on_the_way(build_py: Run, tmp_path: Path) -> None:
    done = build_py(
        "build", "vps-amd64", "--quiet", "--zerotier", "/no.deb", "--cache", tmp_path, "--out", tmp_path
    )
    assert done.status == 1
    assert done.stderr.startswith("error: ")
