"""The lab's one seam that starts processes."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lab.errors import LabError

Arg = str | Path
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailed(LabError):
    """A command's exit status was not 0; ``status`` and ``output`` say what it was."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        tail = "\n".join(output.rstrip().splitlines()[-15:])
        super().__init__(f"{shlex.join(argv)}: exit status {status}\n{tail}".rstrip())
        self.status = status
        self.output = output


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The clean environment that every process of the lab gets."""
    kept = {name: os.environ[name] for name in ("TERM", "TMPDIR") if name in os.environ}
    own = os.environ.get("PATH", "")
    return {**kept, "PATH": f"{own}:{PATH}" if own else PATH, "LANG": "C.UTF-8", "HOME": "/", **(extra or {})}


def run(argv: Sequence[Arg], *, input: str | None = None, timeout: float = 60) -> str:
    """Run ``argv`` and return what it wrote to standard output; seconds limit it.

    Raises:
        CommandFailed: its exit status is not 0, it does not exist, or the time is up (status 124).
    """
    words = [os.fspath(arg) for arg in argv]
    try:
        done = subprocess.run(
            words,
            input=input or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=environment(),
        )
    except FileNotFoundError:
        raise CommandFailed(words, 127, f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(words, 124, f"nothing after {timeout:.0f} s") from None
    if done.returncode != 0:
        raise CommandFailed(words, done.returncode, done.stdout + done.stderr)
    return done.stdout


def run_shown(argv: Sequence[Arg]) -> str:
    """Run a long command whose standard error the user watches; returns its standard output.

    Raises:
        LabError: its exit status is not 0. What was wrong it has said itself.
    """
    words = [os.fspath(arg) for arg in argv]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise LabError(f"{shlex.join(words)}: exit status {done.returncode}")
    return done.stdout


def succeeds(argv: Sequence[Arg], *, timeout: float = 60) -> bool:
    """Whether ``argv`` ends with exit status 0."""
    try:
        run(argv, timeout=timeout)
    except CommandFailed:
        return False
    return True


def start(argv: Sequence[Arg], log: Path) -> "subprocess.Popen[bytes]":
    """Start ``argv`` in the background, its output appended to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [os.fspath(arg) for arg in argv]
    with log.open("ab") as sink:
        sink.write(f"+ {shlex.join(words)}\n".encode())
        sink.flush()
        return _popen(words, sink)


def _popen(words: list[str], sink: IO[Any]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment()
        )
    except FileNotFoundError:
        raise LabError(f"{words[0]} is not installed", "run: ./build.py setup --all") from None


def stop(process: "subprocess.Popen[bytes]", patience: float = 5) -> None:
    """Ask ``process`` to end, and make it end when it has not after ``patience`` seconds."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
