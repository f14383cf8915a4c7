"""A user namespace of one's own in which one is root, with its own binfmt_misc (Linux 6.7 and later).

    python -I builder/userns.py --handler ':name:M::…:/interpreter:P' -- COMMAND …

For root every id is mapped to itself; for others, their own id to 0 and the ranges of /etc/subuid and
/etc/subgid behind it, as `newuidmap` allows. The host's own binfmt_misc registrations are not touched, and
the handler is gone with the last process in here. When who started it is killed, so is everything in here.
util-linux's unshare cannot do the same for root.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000  # linux/sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
PR_SET_PDEATHSIG = 1
EVERY_ID = "0 0 4294967295"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Run the command inside; its exit status is ours."""
    parser = argparse.ArgumentParser(prog="userns.py", description=__doc__)
    parser.add_argument("--handler", default="", help="a line for binfmt_misc's register")
    parser.add_argument("--usr", default="", help="a directory that is to be /usr")
    parser.add_argument("--memory", default="", help="a directory that is to be in memory, if that can be")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    _die_with_parent()
    made_read, made_write = os.pipe()
    mapped_read, mapped_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(made_read)
        os.close(mapped_write)
        return _inside(made_write, mapped_read, lambda: _become(options, command))
    os.close(made_write)
    if os.read(made_read, 1):
        _map(child)
        os.write(mapped_write, b"m")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _map(process: int) -> None:
    """Say which ids of ours are which of the new namespace's."""
    if os.geteuid() == 0:
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process}/{name}").write_text(EVERY_ID)
        return
    user = pwd.getpwuid(os.geteuid()).pw_name
    for tool, own, file in (("newuidmap", os.geteuid(), "subuid"), ("newgidmap", os.getegid(), "subgid")):
        first, count = _range(Path("/etc") / file, user)
        subprocess.run([tool, str(process), "0", str(own), "1", "1", first, count], check=True)


def _range(file: Path, user: str) -> tuple[str, str]:
    """A user's first range of subordinate ids."""
    for line in file.read_text().splitlines():
        name, first, count = line.split(":")
        if name == user:
            return first, count
    raise SystemExit(f"userns: {file} has no range for {user}")


def _inside(made: int, mapped: int, become: Callable[[], NoReturn]) -> int:
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID), "unshare")
    os.write(made, b"n")
    if not os.read(mapped, 1):
        return 1  # the parent has said why
    os.setgid(0)
    os.setuid(0)
    _die_with_parent()  # only now: a change of user takes it back, prctl(2)
    first = os.fork()
    if first == 0:
        become()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


def _become(options: argparse.Namespace, command: list[str]) -> NoReturn:
    """The first process in the namespace: with its end, all others end."""
    _die_with_parent()
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate /")
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    if options.memory:  # it is for speed: a kernel that forbids it does without
        _libc.mount(b"tmpfs", os.fsencode(options.memory), b"tmpfs", 0, b"mode=0755")
    if options.handler:
        at = str(BINFMT).encode()
        _check(_libc.mount(b"binfmt_misc", at, b"binfmt_misc", 0, None), "mount binfmt_misc")
        (BINFMT / "register").write_text(options.handler)
    if options.usr:
        usr = os.fsencode(options.usr)
        _check(_libc.mount(usr, b"/usr", None, MS_BIND, None), f"mount --bind {options.usr} /usr")
    os.execvp(command[0], command)


def _die_with_parent() -> None:
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")


def _check(status: int, what: str) -> None:
    if status != 0:
        raise SystemExit(f"userns: {what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    sys.exit(main())
