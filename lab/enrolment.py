"""A member enrolled as its owner would: join.sh, as `build.py client` writes it, and nothing else.

It runs with the host's programs, but /etc and /var/lib are the member's own directories: what it writes
stays in the lab. tests/netns/test_join.py runs it in whole systems.
"""

import subprocess
import sys
from pathlib import Path

from lab import process
from lab.disk import ROOT
from lab.errors import LabError
from lab.netns import Namespace
from lab.retry import NotYet, retry
from lab.zerotier import Node

# What programs need of /etc to find libraries, each other and names.
OF_HOST = ("alternatives", "group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd")
OWN = 'mount --bind "$1/etc" /etc && mount --bind "$1/lib" /var/lib && shift && exec "$@"'
ASKS = "tell them its node id"
# Seconds to be let in and for the gateway: in QEMU without KVM it may take a quarter of an hour to boot.
PATIENCE = 1800


class Enrolment:
    """One run of join.sh on one member, from the first question to its verdict."""

    def __init__(self, host: Namespace, node: Node, config: str, resolver: str, work: Path) -> None:
        self.host, self.node, self.work = host, node, work
        self._running: subprocess.Popen[bytes] | None = None
        (work / "etc/sysctl.d").mkdir(parents=True)
        (work / "lib").mkdir()
        for name in OF_HOST:
            if (Path("/etc") / name).exists():
                process.run(["cp", "-a", f"/etc/{name}", work / "etc"])
        (work / "etc/resolv.conf").write_text(f"nameserver {resolver}\n")
        (work / "lib/zerotier-one").symlink_to(node.home)
        (work / "gateway.yaml").write_text(config)
        tool: list[process.Arg] = [sys.executable, ROOT / "build.py", "client"]
        process.run([*tool, "--config", work / "gateway.yaml", "--out", work / "kit"])

    @property
    def log(self) -> Path:
        """What join.sh says."""
        return self.host.logs / f"{self.host.name}-join.log"

    def argv(self, *options: str) -> list[process.Arg]:
        """The command line of join.sh, in the member's own surroundings but not in its namespace."""
        path = f"PATH={self.node.package.daemon.parent}:{process.PATH}"
        script: list[process.Arg] = ["env", path, "sh", self.work / "kit/join.sh", *options]
        return ["unshare", "--mount", "sh", "-ec", OWN, "sh", self.work, *script]

    def begin(self) -> None:
        """Start it, and return when it asks to be let in."""
        self._running = self.host.start("join", *self.argv("--wait", str(PATIENCE)))
        retry(self._asks, 60, "join.sh")

    def _asks(self) -> None:
        said = self.log.read_text()
        if ASKS not in said or self.node.address not in said:
            raise NotYet(said)

    def verdict(self, timeout: float = 120) -> str:
        """What it said, once it has ended well.

        Raises:
            LabError: it found something that does not work, or it has not ended.
        """
        if self._running is None:
            raise LabError("join.sh was not started")
        try:
            status = self._running.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"join.sh still waits:\n{self.log.read_text()}") from None
        if status != 0:
            raise LabError(f"join.sh: exit status {status}\n{self.log.read_text()}")
        return self.log.read_text()

    def leave(self) -> None:
        """Undo it."""
        if self._running is not None:
            process.stop(self._running)
        self.host.run(*self.argv("--leave"))
        process.run(["rm", "-rf", self.work])
