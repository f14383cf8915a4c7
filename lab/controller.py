"""The network's controller: a ZeroTier node with its controller API, and both Centrals in front of it.

All doors lead to the same network: what the gateway writes through one is what the members get.
"""

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import process, tls, topology
from lab.netns import Namespace
from lab.retry import retry
from lab.zerotier import Node, Package, make_moon

Json = dict[str, Any]
# By controller.kind: TCP port, path of the URL, and what lab.central is told.
DOORS: dict[str, tuple[int, str, list[str]]] = {
    "central-v1": (443, "/api/v1", ["--api", "v1"]),
    "central-v2": (8444, "", ["--api", "v2"]),
    "self-hosted": (8443, "", ["--passthrough"]),
}


@dataclass(frozen=True)
class Door:
    """One way to the controller, as gateway.yaml's ``controller`` wants it."""

    kind: str
    url: str
    token: str
    log: Path

    def section(self) -> Json:
        """The door as gateway.yaml names it."""
        return {"kind": self.kind, "url": self.url, "token": self.token}

    def requests(self) -> list[Json]:
        """Every request that came through this door."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]


class Controller:
    """The controller's host: the node, which is also everybody's private root, and the doors."""

    def __init__(self, host: Namespace, package: Package, work: Path) -> None:
        self.host, self.work = host, work
        self.node = Node(host, package, work / "zerotier")
        ends = [f"{ip}/9993" for ip in (topology.CONTROLLER.ipv4.ip, topology.CONTROLLER.ipv6.ip)]
        self.moon = make_moon(self.node, ends, work / "moon")
        names = [topology.CONTROLLER_NAME, str(topology.CONTROLLER.ipv4.ip), str(topology.CONTROLLER.ipv6.ip)]
        self.certificate = tls.make(work / "tls", names)

    @property
    def ca(self) -> str:
        """The certificate authority that signed the doors' certificate, as PEM text."""
        return str(self.certificate.ca.read_text())

    def start(self) -> None:
        """Start the node, check that it has a controller, and open the doors."""
        self.node.trust(self.moon)
        self.node.start()
        self.node.api("GET", "/controller")
        self._doors = {kind: self._open(kind) for kind in DOORS}

    def door(self, kind: str) -> Door:
        """The door of that ``controller.kind``."""
        return self._doors[kind]

    def _open(self, kind: str) -> Door:
        port, path, words = DOORS[kind]
        own, mode = self.node.home / "authtoken.secret", list[process.Arg](words)
        token = own.read_text().strip()
        if kind != "self-hosted":
            token, token_file = secrets.token_urlsafe(24), self.work / f"{kind}.token"
            token_file.write_text(token)
            mode += ["--token-file", token_file]
        url = f"https://{topology.CONTROLLER_NAME}:{port}{path}"
        door = Door(kind, url, token, self.work / f"{kind}.jsonl")
        self.host.start(
            kind, sys.executable, "-m", "lab.central", "--port", str(port), *mode, "--log", door.log,
            "--certificate", self.certificate.certificate, "--key", self.certificate.key,
            "--controller", "http://127.0.0.1:9993",
            "--controller-token-file", own,
        )  # fmt: skip
        retry(lambda: self.host.listens(port), 10, f"the controller's {kind} API")
        return door

    def create_network(self, **settings: Any) -> str:
        """Make a network with these settings and return its id."""
        network = self.node.api("POST", f"/controller/network/{self.node.address}______", settings)
        return str(network["id"])

    def network(self, nwid: str) -> Json:
        """The network as the controller has it."""
        network: Json = self.node.api("GET", f"/controller/network/{nwid}")
        return network

    def member(self, nwid: str, node: str) -> Json:
        """A member as the controller has it."""
        member: Json = self.node.api("GET", f"/controller/network/{nwid}/member/{node}")
        return member

    def members(self, nwid: str) -> list[str]:
        """The node ids of the network's members."""
        return list(self.node.api("GET", f"/controller/network/{nwid}/member"))

    def authorize(self, nwid: str, node: str) -> None:
        """Let a node in."""
        self.node.api("POST", f"/controller/network/{nwid}/member/{node}", {"authorized": True})
