"""The package: the same bytes every time, marked as what it is, and able to run from anywhere."""

import subprocess
from pathlib import Path

import pytest

from lab.standin import deb


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return deb.build(tmp_path / "out")


def _run(*words: str | Path) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def test_same_bytes(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    again = deb.build(tmp_path / "again")
    assert again.name == package.name
    assert again.read_bytes() == package.read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert deb.build(tmp_path / "other").read_bytes() != package.read_bytes()


def test_it_says_what_it_is(package: Path) -> None:
    control = _run("dpkg-deb", "-f", package)
    assert "Package: zerotier-one\nVersion: 1.14.1+standin1\nArchitecture: all\n" in control
    assert "LAB STAND-IN for ZeroTier, NOT ZeroTier: no encryption" in control
    assert "standin" in package.name


def test_where_things_are(package: Path) -> None:
    listing = _run("dpkg-deb", "-c", package)
    assert "./usr/sbin/zerotier-cli -> zerotier-one\n" in listing
    assert "./usr/sbin/zerotier-idtool -> zerotier-one\n" in listing
    assert " ./usr/lib/systemd/system/zerotier-one.service\n" in listing
    assert " ./var/lib/zerotier-one/\n" in listing
    assert "__pycache__" not in listing
    assert {line.split()[1] for line in listing.splitlines()} == {"root/root"}


def test_it_runs_unpacked(package: Path, tmp_path: Path) -> None:
    _run("dpkg-deb", "-x", package, tmp_path / "tree")
    programs = tmp_path / "tree/usr/sbin"
    assert _run(programs / "zerotier-one", "-v") == "1.14.1\n"
    assert _run(programs / "zerotier-cli", "-v") == "1.14.1\n"
    assert _run(programs / "zerotier-idtool", "generate").count(":") == 3
    assert _run(programs / "zerotier-one", "-i", "generate").count(":") == 3
