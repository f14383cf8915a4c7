"""The one seam of the builder that starts processes."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from builder.errors import BuildError

Arg = str | os.PathLike[str]
LineHook = Callable[[str], None]

# Debian's users have no sbin on their PATH, and half of our tools live there.
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# Handed on when set: proxies for downloads, and where temporary files may go.
PASSED = ("TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# Never handed on: it is for `configure` and `build --config` themselves.
TOKEN = "ZTGATE_TOKEN"
TAIL = 15  # lines of a failed tool's output that its error shows
GRACE = 10.0  # seconds between SIGTERM and SIGKILL


_watcher: Callable[[str], None] | None = None


def watch(hook: Callable[[str], None] | None) -> None:
    """Have each command line shown before it runs, as one can paste it into a shell; None ends that."""
    global _watcher
    _watcher = hook


def pasteable(words: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None) -> str:
    """A command line for a shell, with what is set for it alone."""
    there = [f"cd {shlex.quote(str(cwd))} &&"] if cwd else []
    return " ".join(
        [*there, *(f"{name}={shlex.quote(value)}" for name, value in (env or {}).items()), shlex.join(words)]
    )


class CommandError(BuildError):
    """A tool failed; the message has its command and its last lines."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        self.argv, self.status, self.output = list(argv), status, output
        ending = f"signal {-status}" if status < 0 else f"exit status {status}"
        tail = "\n".join(f"    {line}" for line in output.rstrip().splitlines()[-TAIL:])
        super().__init__(f"{shlex.join(argv)}: {ending}" + (f"\n{tail}" if tail else ""))


def search_path() -> str:
    """$PATH with the sbin directories at its end."""
    parts = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return ":".join([*parts, *(d for d in SBIN if d not in parts)])


def which(tool: str) -> Path | None:
    """Where a program is on this machine, sbin included."""
    found = shutil.which(tool, path=search_path())
    return Path(found) if found else None


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that every tool gets, whatever the user's own looks like."""
    env = {
        "PATH": search_path(),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": os.environ.get("HOME", "/"),
        "DEBIAN_FRONTEND": "noninteractive",
    }
    env.update({name: os.environ[name] for name in PASSED if name in os.environ})
    env.update(extra or {})
    return env


def run(
    argv: Sequence[Arg],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: LineHook | None = None,
    terminal: bool = False,
) -> str:
    """Run a tool and return what it printed (stdout and stderr together); CommandError unless it exits 0.

    `terminal` lends it our terminal, for sudo's password question. ^C ends the tool and all its children.
    """
    words = [os.fspath(a) for a in argv]
    if _watcher:
        _watcher(pasteable(words, env, cwd))
    nothing = None if terminal else subprocess.DEVNULL
    feed = nothing if stdin is None else subprocess.PIPE
    process = _start(words, feed, clean_env(env), cwd, terminal)
    lines: deque[str] = deque()
    try:
        _feed(process, stdin)
        for line in process.stdout or ():
            lines.append(line.decode(errors="replace").rstrip("\n"))
            if on_line:
                on_line(lines[-1])
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    output = "\n".join(lines)
    if status != 0:
        raise CommandError(words, status, output)
    return output


def interactive(argv: Sequence[Arg]) -> int:
    """Lend a program our terminal until it ends; its exit status, as a shell counts it."""
    words = [os.fspath(a) for a in argv]
    env = {**clean_env(), "TERM": os.environ.get("TERM", "dumb")}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for what runs inside
    try:
        with subprocess.Popen(words, env=env, preexec_fn=_hear_control_c) as process:
            status = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - status if status < 0 else status


def _hear_control_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def streamed(
    argv: Sequence[Arg], *, env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> Iterator[IO[bytes]]:
    """A tool's standard output while it runs, when that is too much to keep; its messages are lost.

    `stdin` may be a file descriptor that it reads from.

    CommandError unless it exits 0 when all has been read; it is ended if its output is left alone.
    """
    words = [os.fspath(a) for a in argv]
    process = _start(words, stdin, clean_env(env), None, False, errors=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        yield process.stdout
        if process.wait() != 0:
            raise CommandError(words, process.returncode, "")
    finally:
        process.stdout.close()
        if process.poll() is None:
            _end(process)


def _start(
    words: list[str],
    stdin: int | None,
    env: dict[str, str],
    cwd: Path | None,
    terminal: bool,
    errors: int = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            cwd=cwd,
            start_new_session=not terminal,  # its own process group, so that _end() reaches its children
        )
    except FileNotFoundError:
        hint = "./build.py setup installs what is missing"
        raise BuildError(f"{words[0]} is not installed", hint) from None
    except PermissionError:
        raise BuildError(f"{words[0]} cannot be executed") from None


def _feed(process: subprocess.Popen[bytes], data: bytes | None) -> None:
    """Write its input from a thread: a tool that talks before it has read everything would stop otherwise."""
    if data is None or process.stdin is None:
        return

    def write(pipe: IO[bytes], data: bytes) -> None:
        try:
            with pipe:
                pipe.write(data)
        except BrokenPipeError:
            pass  # its exit status says why it stopped reading

    threading.Thread(target=write, args=(process.stdin, data), daemon=True).start()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a tool and its children: politely, so that it can unmount and tidy up, then for good."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
        except (ProcessLookupError, PermissionError):
            process.kill() if sig == signal.SIGKILL else process.terminate()
        try:
            process.wait(GRACE)
            return
        except subprocess.TimeoutExpired:
            continue
