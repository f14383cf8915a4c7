"""Real user lands for members: Debian as a container in a namespace of the lab, with systemd as process 1.

    python -m lab.userland          makes what is missing in .cache/userlands; needs the network

A tree is written to by what runs in it, and by nobody else: the host's own files are out of its reach.
"""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import process
from lab.disk import ROOT
from lab.errors import LabError
from lab.netns import Namespace
from lab.retry import NotYet, retry
from lab.zerotier import Package

CACHE = ROOT / ".cache" / "userlands"
SUITES = ("bookworm", "trixie")
PACKAGES = (
    "busybox", "curl", "dbus", "iproute2", "iputils-ping", "network-manager", "nftables", "procps",
    "python3", "systemd-resolved", "systemd-sysv", "udev",
)  # fmt: skip
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
# What a member does not need, and what waits for hardware.
MASKED = (
    "console-getty.service", "systemd-udev-trigger.service", "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
)  # fmt: skip
HOME = "var/lib/zerotier-one"
# $1: the tree, $2: a cgroup for it or "", then what becomes process 1. OUTSIDE makes its namespaces.
OUTSIDE = """
[ -z "$2" ] || { mkdir -p "$2" && echo 0 >"$2/cgroup.procs"; } || exit 1
exec unshare --mount --pid --ipc --uts --cgroup --fork --kill-child sh -ec "$0" sh "$@"
"""
INSIDE = """
tree=$1 cgroup=$2; shift 2
mount --make-rprivate /
mount --bind "$tree" "$tree"; cd "$tree"
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs tmpfs tmp; mount -t tmpfs -o mode=755 tmpfs dev
[ -z "$cgroup" ] || mount -t cgroup2 cgroup2 sys/fs/cgroup
mkdir dev/net dev/pts dev/shm
for node in null zero full random urandom tty net/tun; do
    : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"
done
mount -t devpts devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd; : >dev/console
mkdir run/old; pivot_root . run/old; cd /
exec env -i container=ztgate PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 sh -c 'umount -l /run/old && exec "$@"' sh "$@"
"""  # noqa: E501
INIT = ("/lib/systemd/systemd", "systemd.unit=multi-user.target", "--log-target=console", "--show-status=0")


def cached(suite: str) -> Path:
    """Where the tar of a suite is, or will be: its name says what is in it."""
    content = repr((suite, PACKAGES, LEFT_OUT))
    return CACHE / f"{suite}-{hashlib.sha256(content.encode()).hexdigest()[:12]}.tar"


def build(suite: str) -> Path:
    """The tar of a suite, made if it is not there."""
    tar = cached(suite)
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        partial = tar.with_suffix(".partial")
        process.run_shown(
            [
                "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}",
                *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT), suite, partial,
            ]
        )  # fmt: skip
        partial.replace(tar)
    return tar


def cgroup() -> Path:
    """The cgroup (of version 2) that this process is in.

    Raises:
        LabError: there is none where another can be made, so that systemd cannot be process 1.
    """
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    own = next(
        (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")),
        "",
    )
    # A process that came from outside of a cgroup namespace is shown where it is by "..": not ours to use.
    if found is None or not own or ".." in own:
        raise LabError(
            "there is no cgroup for a system of its own", "run it as root on a machine with cgroup2"
        )
    return found / own.lstrip("/")


def ordinary_user() -> bool:
    """Whether root in here is somebody else outside, who is seldom given a cgroup."""
    return Path("/proc/self/uid_map").read_text().split()[2] != str(2**32 - 1)


@dataclass
class Userland:
    """One tree in a namespace: switched on and off like a computer, and written to meanwhile like one."""

    host: Namespace
    suite: str
    work: Path
    systemd: bool = True
    _init: "subprocess.Popen[bytes] | None" = None

    @property
    def tree(self) -> Path:
        """Its root directory, seen from outside."""
        return self.work / "tree"

    def create(self, package: Package) -> "Userland":
        """Unpack the tree, with ZeroTier installed in it and nothing of the host's."""
        tar = cached(self.suite)
        if not tar.exists():
            raise LabError(f"{tar} is not there", "make it, outside of the sandbox: python -m lab.userland")
        self.tree.mkdir(parents=True)
        process.run(["tar", "-C", self.tree, "-xf", tar, "--exclude=./dev/*"], timeout=120)
        shutil.copytree(package.tree, self.tree, dirs_exist_ok=True, symlinks=True)
        self._offline("systemctl", "-q", "mask", *MASKED)
        # As ZeroTier's package does when it is installed.
        useradd = ("useradd", "--system", "--user-group", "--home-dir", f"/{HOME}", "--no-create-home")
        self._offline(*useradd, "--shell", "/usr/sbin/nologin", "zerotier-one")
        # A real machine has one; without it systemd takes every start for the first.
        number = hashlib.sha256(self.host.name.encode()).hexdigest()[:32]
        (self.tree / "etc/machine-id").write_text(f"{number}\n")
        (self.tree / "etc/hostname").write_text(self.host.name + "\n")
        (self.tree / HOME).mkdir(exist_ok=True)
        return self

    def write(self, path: str, text: str) -> None:
        """Put a file there while it is off."""
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).unlink(missing_ok=True)
        (self.tree / path).write_text(text)

    def enable(self, *units: str) -> None:
        """Have units started, from the next start on."""
        self._offline("systemctl", "-q", "enable", *units)

    def disable(self, *units: str) -> None:
        """Have units not started any more."""
        self._offline("systemctl", "-q", "disable", *units)

    def _offline(self, *command: str) -> None:
        """Run a command on the tree's files only."""
        process.run(["chroot", self.tree, *command])

    def start(self) -> None:
        """Switch it on and wait until it is up."""
        group = str(cgroup() / f"ztgate-{self.host.name}") if self.systemd else ""
        words = [OUTSIDE, INSIDE, str(self.tree), group, *(INIT if self.systemd else ("sleep", "infinity"))]
        inside = ["nsenter", f"--net=/run/netns/{self.host.name}", "sh", "-c", *words]
        self._init = process.start(inside, self.host.logs / f"{self.host.name}-system.log")
        retry(self._is_up, 60, f"the system of {self.host.name}")

    def _is_up(self) -> None:
        try:
            if self.systemd:
                self.run("systemctl", "is-active", "multi-user.target")
            else:
                self.run("grep", "-qx", "sleep", "/proc/1/comm")
        except LabError as error:
            raise NotYet(error.message) from None

    def stop(self) -> None:
        """Cut its power. Its processes are gone then; what it told the kernel of the cable stays."""
        if self._init is not None:
            # When process 1 of a process namespace has been waited for, there are no others any more.
            process.succeeds(["kill", "-9", self._first()])
            process.stop(self._init)
            self._init = None

    def argv(self, *command: process.Arg) -> list[process.Arg]:
        """A command line that runs ``command`` inside."""
        clean = ["env", "-i", "HOME=/root", "LANG=C.UTF-8", f"PATH={process.PATH}"]
        return ["nsenter", f"--target={self._first()}", "--all", *clean, *command]

    def _first(self) -> str:
        """Its process 1, as it is numbered here."""
        if self._init is None:
            raise LabError(f"{self.host.name} is switched off")
        pid = self._init.pid
        try:
            return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        except (OSError, IndexError):
            raise LabError(f"{self.host.name}: its first process is not there") from None

    def run(self, *command: process.Arg, timeout: float = 60) -> str:
        """Run a command inside; see `process.run`."""
        return process.run(self.argv(*command), timeout=timeout)


if __name__ == "__main__":
    try:
        for name in SUITES:
            print(build(name))
    except LabError as failure:
        sys.exit(f"{failure.message}\n{failure.hint}")
