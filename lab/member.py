"""A member of the ZeroTier network: somebody's laptop at home."""

import json
import sys
from pathlib import Path
from typing import Any

from lab.enrolment import Enrolment
from lab.netns import Namespace
from lab.retry import NotYet, retry
from lab.zerotier import Node

Json = dict[str, Any]
# A full tunnel is two half-routes a family: they beat the default route without replacing it.
HALVES = {4: ("0.0.0.0/1", "128.0.0.0/1"), 6: ("::/1", "8000::/1")}


class Member:
    """A namespace with a ZeroTier node."""

    def __init__(self, host: Namespace, node: Node) -> None:
        self.host, self.node = host, node

    def start(self) -> None:
        """Start the node."""
        self.node.start()

    def enrol(self, config: str, resolver: str, work: Path) -> Enrolment:
        """Have join.sh for a gateway.yaml at work; it asks to be let in when this returns."""
        enrolment = Enrolment(self.host, self.node, config, resolver, work)
        enrolment.begin()
        return enrolment

    def join(self, nwid: str, full_tunnel: bool = True) -> None:
        """Join with the settings of the article's steps 3 and 4d, by hand: a member that nobody looks at."""
        self.node.join(nwid, allowManaged=True, allowGlobal=full_tunnel, allowDefault=full_tunnel)

    def addresses(self, nwid: str) -> list[str]:
        """Its addresses on the network, with prefix lengths."""
        return [str(address) for address in self.node.network(nwid)["assignedAddresses"]]

    def global_address(self, nwid: str) -> str:
        """Its global IPv6 address on the network.

        Raises:
            NotYet: it has none.
        """
        for address in self.addresses(nwid):
            if ":" in address and not address.startswith(("fd", "fc")):
                return address.split("/")[0]
        raise NotYet(f"{self.host.name} has no global IPv6 address on {nwid}")

    def kernel_routes(self, family: int) -> dict[str, Json]:
        """The kernel's main routing table, by destination."""
        routes = json.loads(self.host.run("ip", f"-{family}", "-json", "route", "show") or "[]")
        return {route["dst"]: route for route in routes}

    def tunnelled(self, nwid: str, family: int) -> None:
        """Check that the kernel sends a family's traffic into the tunnel.

        Raises:
            NotYet: it does not.
        """
        device = self.node.network(nwid)["portDeviceName"]
        routes = self.kernel_routes(family)
        missing = [half for half in HALVES[family] if routes.get(half, {}).get("dev") != device]
        if missing:
            raise NotYet(f"{self.host.name}: no route for {', '.join(missing)} through {device}")

    def wait_tunnelled(self, nwid: str, families: tuple[int, ...] = (4, 6), timeout: float = 90) -> None:
        """Wait until every family's traffic goes into the tunnel."""
        for family in families:
            retry(lambda f=family: self.tunnelled(nwid, f), timeout, f"the full tunnel, IPv{family}")  # type: ignore[misc]

    def get(self, url: str, timeout: float = 20) -> Json:
        """Fetch JSON.

        Raises:
            LabError: there was no answer within ``timeout`` seconds.
        """
        answer: Json = json.loads(
            self.host.run("curl", "-sS", "--fail", "--max-time", str(timeout), url, timeout=timeout + 5)
        )
        return answer

    def serve(self, *ports: int) -> None:
        """Listen on TCP ports, on every address."""
        for port in ports:
            self.host.start(f"port-{port}", sys.executable, "-m", "lab.echo", "--port", str(port))
            retry(lambda p=port: self.host.listens(p), 10, f"{self.host.name}'s port {port}")  # type: ignore[misc]
