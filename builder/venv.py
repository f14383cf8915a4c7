"""ztgate's own Python environment, made on first use. Standard library only: nothing else is there yet."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from builder.errors import BuildError
from builder.run import TOKEN

MINIMUM = (3, 11)
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
STAMP = "ztgate-requirements"  # in .venv: sha256 of the requirement files that are installed there


def inside(root: Path) -> bool:
    """Whether we run in the repository's environment, and it is up to date."""
    return Path(sys.prefix).resolve() == (root / ".venv").resolve() and _installed(root) == _wanted(root)


def ensure(root: Path, say: Callable[[str], None]) -> Path:
    """Make or refresh .venv where that is needed; returns its Python."""
    if sys.version_info < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        raise BuildError(f"Python {wanted} or newer is needed, this is {sys.version.split()[0]}")
    python = root / ".venv/bin/python"
    if _installed(root) == _wanted(root) and os.access(python, os.X_OK):
        return python
    if not _works(python):
        say("making .venv")
        shutil.rmtree(root / ".venv", ignore_errors=True)
        hint = "./build.py setup, or: apt-get install python3-venv"
        _run([sys.executable, "-m", "venv", str(root / ".venv")], "python3 -m venv failed", hint)
    say(f"installing {REQUIREMENTS[-1]} into .venv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    requirements = str(root / REQUIREMENTS[-1])
    _run([*pip, "-r", requirements], "pip could not install what ztgate needs", "is the network there?")
    (root / ".venv" / STAMP).write_text(_wanted(root))
    return python


def enter(root: Path, python: Path, arguments: Sequence[str]) -> None:
    """Go on in .venv with the same command line; does not return."""
    os.execv(python, [str(python), str(root / "build.py"), *arguments])


def run(root: Path, command: Sequence[str]) -> None:
    """Become a program of .venv (pytest, mypy, ruff), or one of the machine; does not return."""
    path = f"{root / '.venv/bin'}:{os.environ.get('PATH', os.defpath)}"
    program = shutil.which(command[0], path=path)
    if program is None:
        raise BuildError(f"{command[0]}: there is no such program in .venv or on this machine")
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(root / ".venv")}
    os.execve(program, [program, *command[1:]], environment)


def _wanted(root: Path) -> str:
    files = b"".join((root / name).read_bytes() for name in REQUIREMENTS)
    return hashlib.sha256(files).hexdigest()


def _installed(root: Path) -> str:
    try:
        return (root / ".venv" / STAMP).read_text()
    except OSError:
        return ""


def _environment() -> dict[str, str]:
    """All that may say where pip finds packages, and how."""
    return {name: value for name, value in os.environ.items() if name != TOKEN}


def _works(python: Path) -> bool:
    """Whether there is a Python with pip: not after an interrupted start, nor when the system's has gone."""
    try:
        argv = [str(python), "-m", "pip", "--version"]
        return subprocess.run(argv, env=_environment(), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(argv: Sequence[str], problem: str, hint: str) -> None:
    done = subprocess.run(
        argv, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-8:])
        raise BuildError(f"{problem}\n{tail}", hint)
