"""Nodes of the daemon under test in namespaces, as test_zerotier.py has them:

    moon ---+
    gw   ---+--- router (the internet, 203.0.9.9)
    cl   ---+

The moon is everybody's root, and the controller. It runs in `lab.sandbox`.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.netns import Namespace, wire
from lab.retry import NotYet, retry
from lab.standin.zerotier_one_standin import derive
from lab.zerotier import Node, Package, make_moon

Json = dict[str, Any]
NAMES = ("moon", "gw", "cl")
INTERNET = "203.0.9.9"
LAN = {"target": "10.66.0.0/24"}
DEFAULT = {"target": "0.0.0.0/0", "via": "10.66.0.1"}
GATEWAY, CLIENT = "10.66.0.1", "10.66.0.2"
HALVES = {"0.0.0.0/1", "128.0.0.0/1"}
PATIENCE = 25.0  # seconds; the real daemon asks again every 5 and looks at its groups every 5


class World:
    """Nodes on a link each, one of them root and controller."""

    def __init__(self, deb: Path, work: Path, names: tuple[str, ...] = NAMES) -> None:
        package = Package.unpack(deb, work / "tree")
        self.router = Namespace("router", work).create()
        self.router.forward()
        self.router.address("lo", f"{INTERNET}/32")
        self.hosts = {name: Namespace(name, work).create() for name in names}
        for number, (name, host) in enumerate(self.hosts.items(), 1):
            wire(self.router, f"to-{name}", host, "eth0")
            self.router.address(f"to-{name}", f"203.0.{number}.1/24", f"2600:db8:0:{number}::1/64")
            host.address("eth0", f"203.0.{number}.10/24", f"2600:db8:0:{number}::10/64")
            host.routes([f"203.0.{number}.1", f"2600:db8:0:{number}::1"])
        if names == NAMES:
            self.router.run("ip", "route", "add", "10.66.0.0/24", "via", "203.0.2.10")
            self.hosts["gw"].forward()
            self.hosts["cl"].run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2")
        self.nodes = {name: Node(host, package, work / f"home-{name}") for name, host in self.hosts.items()}
        self.moon = make_moon(self.nodes["moon"], ["203.0.1.10/9993", "2600:db8:0:1::10/9993"], work / "moon")
        for node in self.nodes.values():
            node.trust(self.moon)
            node.start()

    def stop(self) -> None:
        for host in (*self.hosts.values(), self.router):
            host.remove()

    def controller(self, path: str, body: Json | None = None) -> Json:
        """GET or, with a body, POST to the controller's API."""
        answer: Json = self.nodes["moon"].api("GET" if body is None else "POST", f"/controller{path}", body)
        return answer

    def create(self, routes: list[Json], **settings: Any) -> str:
        modes = {"v4AssignMode": {"zt": False}, "v6AssignMode": {"rfc4193": True, "zt": False}}
        body = {"name": "lab", "routes": routes, "mtu": 1390, **modes, **settings}
        return str(self.controller(f"/network/{self.nodes['moon'].address}______", body)["id"])

    def let_in(self, nwid: str, name: str, *ips: str, **settings: Any) -> None:
        """Make a node a member, with these addresses."""
        body = {"authorized": True, "ipAssignments": list(ips), **settings}
        self.controller(f"/network/{nwid}/member/{self.nodes[name].address}", body)

    def join(self, nwid: str, *names: str, **settings: bool) -> None:
        """Join, and wait for OK."""
        for name in names:
            self.nodes[name].join(nwid, **settings)
        for name in names:
            retry(lambda n=name: self.nodes[n].network(nwid), PATIENCE, f"{name} on {nwid}")  # type: ignore[misc]

    def device(self, nwid: str) -> str:
        return derive.interface_name(int(nwid, 16))

    def routes(self, name: str, nwid: str, family: str = "-4") -> dict[str, Json]:
        """The kernel's routes by a network's device, by destination."""
        text = self.hosts[name].run("ip", family, "-j", "route", "show", "dev", self.device(nwid))
        return {route["dst"]: route for route in json.loads(text or "[]")}

    def addresses(self, name: str, nwid: str) -> set[str]:
        """The kernel's addresses on a network's device, without link-local ones."""
        text = self.hosts[name].run("ip", "-j", "address", "show", "dev", self.device(nwid))
        found = [each for link in json.loads(text) for each in link.get("addr_info", [])]
        return {f"{each['local']}/{each['prefixlen']}" for each in found if each["scope"] != "link"}

    def assigned(self, name: str, nwid: str) -> set[str]:
        """The addresses that a network has given a node."""
        return set(self.nodes[name].network(nwid)["assignedAddresses"])

    def hears(self, name: str, address: str, device: str = "") -> bool:
        """Whether an address answers a ping, sent by a device if one is named."""
        by = ["-I", device] if device else []
        return self.hosts[name].succeeds("ping", "-c1", "-W1", *by, address)

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until condition() is true."""

        def check() -> None:
            if not condition():
                raise NotYet("it is not so")

        retry(check, PATIENCE, what)

    def http(self, name: str, path: str, *curl: str, to: str = "127.0.0.1") -> tuple[int, str]:
        """Status and body of a request made in a namespace."""
        host = self.hosts.get(name, self.router)
        url = f"http://{to}:9993{path}"
        text = host.run("curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *curl, url)
        body, _, status = text.rpartition("\n")
        return int(status), body

    def settle(self) -> None:
        """Let the real daemon's memory of a device's addresses grow old, which takes it a second.

        Of two changes within that second the later one goes wrong for good.
        """
        time.sleep(1.1)

    def token(self, name: str) -> str:
        return (self.nodes[name].home / "authtoken.secret").read_text().strip()
