"""ZeroTier's local service: its API on the loopback interface, and its files."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

from . import store
from .errors import WaitingError, ZtgateError, reading
from .formats import INTERFACE, MAC, NODE
from .paths import Paths

DEFAULT_PORT = 9993
# Joining blocks for 5 s when the tap device cannot be made (1.14.1), so be more patient than that.
TIMEOUT = 15.0


@dataclass(frozen=True)
class Network:
    """A joined network as the local service shows it."""

    id: str
    status: str
    interface: str
    mac: str
    mtu: int
    allow_managed: bool
    allow_global: bool
    allow_default: bool
    addresses4: tuple[IPv4Interface, ...]
    addresses6: tuple[IPv6Interface, ...]
    lan4: tuple[IPv4Network, ...]
    routes: tuple[tuple[str, str], ...]
    dns: tuple[str, tuple[str, ...]] = ("", ())


def parse_network(data: dict[str, Any]) -> Network:
    """From a reply of GET /network/<id>. routes are (target, via or ""), dns is (domain, servers)."""
    addresses = [ip_interface(text) for text in data.get("assignedAddresses", [])]
    routes = [(str(row["target"]), str(row.get("via") or "")) for row in data.get("routes", [])]
    dns = data.get("dns") or {}
    for each in (*(via for _, via in routes if via), *(dns.get("servers") or ())):
        ip_address(each)  # ValueError where it is none: it is compared and shown later
    nets = [(ip_network(target, strict=False), via) for target, via in routes]  # ValueError, the same
    ranges = [net for net, via in nets if not via]
    return Network(
        id=_text(data["id"]),
        status=_text(data["status"]),
        interface=_text(data.get("portDeviceName", "")),
        mac=_text(data.get("mac", "")),
        mtu=int(data.get("mtu", 0)),
        allow_managed=bool(data.get("allowManaged")),
        allow_global=bool(data.get("allowGlobal")),
        allow_default=bool(data.get("allowDefault")),
        addresses4=tuple(a for a in addresses if isinstance(a, IPv4Interface)),
        addresses6=tuple(a for a in addresses if isinstance(a, IPv6Interface)),
        lan4=tuple(net for net in ranges if isinstance(net, IPv4Network) and net.prefixlen > 0),
        routes=tuple(routes),
        dns=(str(dns.get("domain") or ""), tuple(map(str, dns.get("servers") or ()))),
    )


def _text(value: Any) -> str:
    """TypeError for anything else: 275 would be taken for an interface."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


class Service:
    """The API at 127.0.0.1. WaitingError while the service is not up."""

    def __init__(self, paths: Paths) -> None:
        self.home = paths.zerotier_home

    def node(self) -> str:
        """This machine's ZeroTier address, 10 hexadecimal digits."""
        found = str(self._expect("GET", "/status").get("address", ""))
        if not NODE.fullmatch(found):
            raise WaitingError("ZeroTier's service does not say which node this is")
        return found

    def status(self) -> dict[str, Any]:
        """GET /status."""
        return self._expect("GET", "/status")

    def network(self, network: str) -> Network | None:
        """The network's state here; None when it is not joined."""
        code, data = self.call("GET", f"/network/{network}")
        if code == 404:
            return None
        if code != 200 or not isinstance(data, dict):
            raise WaitingError(f"ZeroTier's service answered {code} about network {network}")
        with reading("what ZeroTier's service says of its network"):
            found = parse_network(data)
        # It has no interface until it is up.
        named = INTERFACE.fullmatch(found.interface) if found.interface else found.status != "OK"
        known = not found.mac or MAC.fullmatch(found.mac)
        if found.id.lower() != network.lower() or not named or not known:
            raise WaitingError("ZeroTier's service says of its network what cannot be")
        return found

    def peers(self) -> tuple[str, ...]:
        """Node ids of everybody that it knows who is not a root."""
        nodes = {str(peer.get("address")) for peer in self.peer_rows() if peer.get("role") == "LEAF"}
        return tuple(sorted(node for node in nodes if NODE.fullmatch(node)))

    def peer_rows(self) -> list[dict[str, Any]]:
        """GET /peer: each with its role, latency in ms and paths."""
        code, data = self.call("GET", "/peer")
        rows = data if code == 200 and isinstance(data, list) else []
        return [row for row in rows if isinstance(row, dict)]

    def moons(self) -> tuple[str, ...]:
        """World ids of the moons that it orbits or means to, 10 digits."""
        code, data = self.call("GET", "/moon")
        rows = data if code == 200 and isinstance(data, list) else []
        return tuple(str(row.get("id"))[-10:] for row in rows if isinstance(row, dict))

    def metrics(self) -> str:
        """GET /metrics: Prometheus' text format."""
        code, content = self._exchange("GET", "/metrics", None)
        return content.decode("utf-8", "replace") if code == 200 else ""

    def change(self, method: str, path: str, body: dict[str, Any]) -> None:
        """POST or DELETE, and expect success."""
        self._expect(method, path, body)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """One request: the status code and the decoded body."""
        status, content = self._exchange(method, path, body)
        try:
            return status, json.loads(content) if content else {}
        except ValueError:
            return status, {}

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        token = (store.read_text(self.home / "authtoken.secret") or "").strip()
        if not token:
            raise WaitingError("ZeroTier has not started yet")
        connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=TIMEOUT)
        try:
            headers = {"X-ZT1-Auth": token, "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            raise WaitingError("ZeroTier's service does not answer yet") from None
        finally:
            connection.close()

    def _expect(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        code, data = self.call(method, path, body)
        if code == 401:
            raise ZtgateError(
                "ZeroTier's service does not accept its own token",
                f"look at {self.home}/authtoken.secret and at allowManagementFrom in local.conf",
            )
        if code != 200 or not isinstance(data, dict):
            raise WaitingError(f"ZeroTier's service answered {code} to {method} {path}")
        return data

    def _port(self) -> int:
        text = (store.read_text(self.home / "zerotier-one.port") or "").strip()
        return int(text) if text.isdigit() else DEFAULT_PORT


def in_range(network: Network, subnet: IPv6Network) -> tuple[IPv6Interface, ...]:
    """Own addresses of the network that lie inside a range."""
    return tuple(address for address in network.addresses6 if address.ip in subnet)
