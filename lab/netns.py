"""Network namespaces, and the wires between them.

Names are the lab's own: `lab.sandbox` has put us into private mount, network and process
namespaces, so nothing here can meet, or outlive, anything of the host's.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import process
from lab.retry import NotYet


@dataclass
class Namespace:
    """One host of the virtual world that needs no machine of its own."""

    name: str
    logs: Path
    _running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def create(self) -> "Namespace":
        """Make the namespace; its loopback is up and it neither takes nor waits for addresses by itself."""
        process.run(["ip", "netns", "add", self.name])
        self.run("ip", "link", "set", "lo", "up")
        for key in ("all", "default"):
            # Addresses are the drawing's; duplicate address detection would only make them late.
            self.run("sysctl", "-qw", f"net.ipv6.conf.{key}.accept_dad=0", f"net.ipv6.conf.{key}.accept_ra=0")
        return self

    def argv(self, *command: process.Arg) -> list[process.Arg]:
        """``command`` as it is run inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: process.Arg, timeout: float = 60) -> str:
        """Run a command inside; see `process.run`."""
        return process.run(self.argv(*command), timeout=timeout)

    def succeeds(self, *command: process.Arg, timeout: float = 60) -> bool:
        """Whether a command inside ends with status 0."""
        return process.succeeds(self.argv(*command), timeout=timeout)

    def start(self, log: str, *command: process.Arg) -> "subprocess.Popen[bytes]":
        """Start a server inside; it ends with the lab."""
        server = process.start(self.argv(*command), self.logs / f"{self.name}-{log}.log")
        self._running.append(server)
        return server

    def listens(self, port: int) -> None:
        """Check that somebody listens on a TCP port here.

        Raises:
            NotYet: nobody does.
        """
        if f":{port} " not in self.run("ss", "-Hltn"):
            raise NotYet(f"nobody listens on port {port}")

    def address(self, device: str, *addresses: str) -> None:
        """Give ``device`` addresses with their prefix lengths."""
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", device)

    def routes(self, via: Sequence[str]) -> None:
        """Default routes through ``via``, one a family."""
        for gateway in via:
            self.run("ip", "route", "add", "default", "via", gateway)

    def forward(self) -> None:
        """Be a router."""
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def bridge(self, device: str) -> None:
        """A bridge that passes frames on at once."""
        self.run("ip", "link", "add", device, "type", "bridge", "forward_delay", "0")
        self.run("ip", "link", "set", device, "up")

    def tap(self, device: str, bridge: str) -> None:
        """A tap for a virtual machine, on ``bridge``."""
        self.run("ip", "tuntap", "add", device, "mode", "tap")
        self.run("ip", "link", "set", device, "master", bridge, "up")

    def stop(self) -> None:
        """End what was started here, the last first."""
        while self._running:
            process.stop(self._running.pop())

    def remove(self) -> None:
        """End what was started here, and take the namespace away with its ends of cables."""
        self.stop()
        process.run(["ip", "netns", "delete", self.name])


def wire(a: Namespace, device_a: str, b: Namespace, device_b: str) -> None:
    """A cable between two namespaces."""
    a.run("ip", "link", "add", device_a, "type", "veth", "peer", "name", device_b, "netns", b.name)
    a.run("ip", "link", "set", device_a, "up")
    b.run("ip", "link", "set", device_b, "up")
