"""Private namespaces for a lab: what is made in them is gone when the process ends, even when killed.

    python -m lab.sandbox COMMAND ...

As root it takes mount, network and process namespaces; without root, a user namespace as well, in
which it is root (that needs `newuidmap` and a range in /etc/subuid, as Debian and Ubuntu set them up).
"""

import os
import sys
from pathlib import Path

from lab import process
from lab.errors import LabError

INSIDE = "ZTGATE_LAB_PID"


def inside() -> bool:
    """Whether this process is in a sandbox."""
    return INSIDE in os.environ


def outer_pid() -> int:
    """The sandbox's process id as the host sees it, for `nsenter`."""
    return int(os.environ[INSIDE])


def argv(command: list[str], uid: int) -> list[str]:
    """The command line that runs ``command`` in a sandbox for a caller whose user id is ``uid``."""
    user = [] if uid == 0 else ["--user", "--map-root-user", "--map-auto"]
    # `ip netns` keeps its names in /run, which a user namespace may not write: the sandbox has its own.
    prepare = 'mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up && exec "$@"'
    isolate = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *user, *isolate, "sh", "-c", prepare, "sh", *command]


def enter(command: list[str]) -> None:
    """Become ``command`` in a sandbox; does not return.

    Raises:
        LabError: /dev/net/tun is not there, or namespaces cannot be made.
    """
    if not Path("/dev/net/tun").exists():
        raise LabError("/dev/net/tun is not there: the lab has no taps", "load it with: sudo modprobe tun")
    if not process.succeeds(argv(["true"], os.geteuid())):
        raise LabError(
            "this user may not make network namespaces",
            "run it as root; or install uidmap and allow user namespaces: "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        )
    words = argv(command, os.geteuid())
    env = {**os.environ, "PATH": process.environment()["PATH"], INSIDE: str(os.getpid())}
    os.execvpe(words[0], words, env)


if __name__ == "__main__":
    try:
        enter(sys.argv[1:])
    except LabError as error:
        sys.exit(f"{error.message}\n{error.hint}")
