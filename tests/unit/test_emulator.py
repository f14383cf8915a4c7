"""Which QEMU the board is tried in."""

import subprocess
from pathlib import Path

import pytest

from tests import emulator

DEBIAN_12 = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)"


@pytest.mark.parametrize(
    ("said", "major"), [(DEBIAN_12, 7), ("QEMU emulator version 10.0.13 (Debian 1:10.0.13)", 10), ("?", 0)]
)
def test_the_version_is_read(said: str, major: int) -> None:
    assert emulator.major(said) == major


def test_a_host_with_a_new_one_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = tmp_path / emulator.PROGRAM
    host.write_text("#!/bin/sh\necho QEMU emulator version 11.0.0\n")
    host.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert emulator.find(tmp_path / "work") == host


def test_the_script_runs_the_trees_program_with_its_own_loader(tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    loader = tree / "usr/lib64/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    loader.chmod(0o755)
    made = emulator.script(tree, tmp_path / "work" / "qemu")
    done = subprocess.run([made, "-name", "two words"], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert said[0] == "--library-path"
    assert str(tree / "usr/bin/qemu-system-aarch64") in said
    assert said[-2:] == ["-name", "two words"]
