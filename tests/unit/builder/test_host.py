"""What a machine has to have: packages that are named and installed, Python, the environment."""

from pathlib import Path

import pytest

from builder import host, venv
from builder.errors import BuildError

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
