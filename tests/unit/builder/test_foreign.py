"""Another architecture's packages: who runs what, and in which namespace."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import debian, foreign, namespace
from builder.lock import Wanted
from builder.stages import Work
from builder.stages.base import BaseStage

from .conftest import FakeTool, debs, make_tree, own_stage

ROOT = Path(__file__).resolve().parents[3]
RELEASE = tuple(int(part) for part in platform.release().split(".")[:2])
needs_own_binfmt = pytest.mark.skipif(
    RELEASE < (6, 7), reason="Linux 6.7 brought binfmt_misc to user namespaces"
)
TARGET = """
for word; do case "$word" in *.tar | */root) target=$word;; esac; done
case "$target" in *.tar) echo tar > "$target";; *) mkdir "$target";; esac"""


@pytest.fixture(autouse=True)
def _this_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmdebstrap is not the tools tree's, as there is none."""
    monkeypatch.setattr(namespace, "why_not", lambda: "no namespaces here")


@pytest.fixture(autouse=True)
def _kernel_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(foreign.HOST, raising=False)
    forget = foreign.why_not_own.cache_clear
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    ("program", "arguments", "runs"),
    [
        ("/usr/bin/sed", ["-n", "p"], "twin"),
        ("/bin/sed", ["-n", "p"], "twin"),
        ("/usr/bin/dpkg", ["--configure", "-a"], "emulator"),
        ("/opt/own/sed", ["-n", "p"], "emulator"),
        ("/usr/bin/python3", ["-E", "-S", "/usr/lib/python3.13/py_compile.py", "x.py"], "twin"),
        ("/usr/bin/python3", ["/usr/bin/py3compile", "-p", "x"], "twin"),
        ("/usr/bin/python3", ["-c", "print(1)"], "emulator"),
        ("/usr/bin/sed", ["with space", "", "*"], "twin"),
    ],
)
def test_the_handler_takes_a_twin_where_that_does_the_same(
    tmp_path: Path, program: str, arguments: list[str], runs: str
) -> None:
    native = make_tree(tmp_path / "native", {"bin/sed": "", "bin/python3": ""})
    for name, words in {
        "ld.so": 'twin "${5##*/}" "$4"; shift 5',
        "emulator": 'emulator "$5" "$4"; shift 5',
    }.items():
        (native / name).write_text(f"#!/bin/sh\nprintf '<%s>' {words}; printf '<%s>' \"$@\"\n")
    for path in native.rglob("*"):
        path.chmod(0o755)
    handler = tmp_path / "handler"
    handler.write_text(foreign.HANDLER.replace(foreign.AT, str(native)))
    said = subprocess.check_output(["sh", handler, program, "zero", *arguments], text=True)
    name = program.rsplit("/", 1)[-1] if runs == "twin" else program
    assert said == "".join(f"<{word}>" for word in (runs, name, "zero", *arguments))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "out").mkdir()
    make_tree(tmp_path / "base", {"root.tar": "base"})
    artifacts = {"base": tmp_path / "base", "twins": tmp_path / "twins", "tools": tmp_path / "tools"}
    return Work(tmp_path / "out", artifacts, lambda _: None)


def test_an_arm64_base_is_made_with_twins(
    tmp_path: Path, work: Work, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "inside", lambda architecture, *_: ["env", f"FOR={architecture}"])
    calls = fake_tool("mmdebstrap", TARGET)
    bootstrap = make_tree(tmp_path / "bootstrap", {"etc/x": "x"})
    components = ("main", "non-free-firmware")
    wanted = Wanted("trixie", ("arm64",), ("a", "k/trixie-backports"), components, system=True)
    stage = BaseStage(wanted, debs(tmp_path), bootstrap, 1)
    assert stage.needs == ("tools", "twins")
    stage.run(work)
    line = calls.read_text()
    for words in (
        "--mode=root --skip=check/qemu",
        "--include=a,k ",  # there is one of each in the lock
        "--components=main,non-free-firmware",
        "sources.list.d/trixie-backports.list",
        f"cp -a {tmp_path}/twins/native",
        'rm -r "$1/.native"',
    ):
        assert words in line


def test_zerotier_is_installed_with_twins_too(
    tmp_path: Path, work: Work, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "inside", lambda *_: ["env"])
    calls = fake_tool("mmdebstrap", TARGET)
    stage = own_stage(tmp_path, "arm64")
    assert stage.needs == ("tools", "twins", "base")
    stage.run(work)
    line = calls.read_text()
    order = ("tar --extract", "cp -a", "ln -s /.native/perl-base", 'rm -r "$1/.native"')
    assert sorted(order, key=line.index) == list(order)
    assert "--include=nano,zerotier-one " in line


def test_without_a_handler_of_ones_own_there_are_no_twins(
    tmp_path: Path, work: Work, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "why_not_own", lambda _: "old kernel")
    calls = fake_tool("mmdebstrap", f'{TARGET}; echo "$QEMU_CPU" >> {tmp_path}/cpu')
    alone = Work(work.out, {k: v for k, v in work.artifacts.items() if k != "twins"}, work.line)
    wanted = Wanted("trixie", ("arm64",), ("a",))
    BaseStage(wanted, debs(tmp_path), make_tree(tmp_path / "b", {"x": ""}), 1).run(alone)
    own_stage(tmp_path, "arm64").run(alone)
    for line in calls.read_text().splitlines():
        assert line.startswith(f"--mode={debian.mode()} --skip=check/qemu ")
        assert foreign.AT not in line
    assert (tmp_path / "cpu").read_text() == "cortex-a72\n" * 2


@pytest.mark.parametrize(
    ("script", "forced", "why"),
    [
        ("true", False, ""),
        ("echo first; echo mount: not permitted; false", False, "mount: not permitted"),
        ("false", False, "no reason given"),
        ("true", True, "ZTGATE_HOST_BINFMT is set"),
    ],
)
def test_why_there_is_no_handler_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, script: str, forced: bool, why: str
) -> None:
    monkeypatch.setattr(foreign, "inside", lambda _: ["sh", "-c", script, "sh"])
    if forced:
        monkeypatch.setenv(foreign.HOST, "1")
    assert foreign.why_not_own("arm64") == why


def test_other_suites_are_known_only_where_a_package_is_from_one() -> None:
    assert debian.backports("trixie", ("a", "b")) == []


def inside(*command: str, handler: str = "") -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-I", str(ROOT / "builder/userns.py"), "--handler", handler, "--", *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_one_is_root_in_a_namespace_of_ones_own() -> None:
    assert inside("id", "-u").stdout == "0\n"
    assert inside("sh", "-c", "echo $$").stdout == "1\n"
    assert inside("sh", "-c", "exit 7").returncode == 7
    ours = Path("/proc/self/ns/user")
    assert inside("readlink", str(ours)).stdout.strip() != str(ours.readlink())


@needs_own_binfmt
def test_the_handler_is_the_namespaces_alone(tmp_path: Path) -> None:
    interpreter = tmp_path / "interpreter"
    interpreter.write_text('#!/bin/sh\necho "handled $1"\n')
    interpreter.chmod(0o755)
    program = tmp_path / "program"
    program.write_bytes(b"ztgate-unit-test\n")
    program.chmod(0o755)
    handler = f":ztgate-unit-test:M::ztgate-unit-test::{interpreter}:"
    assert inside(str(program), handler=handler).stdout == f"handled {program}\n"
    with pytest.raises(OSError, match="Exec format error"):
        subprocess.run([program], check=False)
