"""Linters and the type checker are tests."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LINTERS = {
    "ruff check": [sys.executable, "-m", "ruff", "check", "."],
    "ruff format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
}


@pytest.mark.parametrize("argv", LINTERS.values(), ids=LINTERS.keys())
def test_python(argv: list[str]) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def shell_scripts() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if is_shell(ROOT / name)]


def is_shell(path: Path) -> bool:
    # A template is read as what it makes: tests/unit/members/test_shell.py.
    if path.is_symlink() or not path.is_file() or path.suffix == ".j2":
        return False
    with path.open("rb") as file:
        return file.readline(40).rstrip() in {b"#!/bin/sh", b"#!/bin/bash"}


@pytest.mark.parametrize("name", shell_scripts())
def test_shell(name: str) -> None:
    done = subprocess.run(["shellcheck", name], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
