"""The side that faces the internet: which interface, which IPv4 address, which /64."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from typing import Any

from ..errors import WaitingError, reading
from ..formats import INTERFACE

GLOBAL = IPv6Network("2000::/3")
Run = Callable[[Sequence[str]], str]
# Addresses, and IPv4's routes.
LOOK4 = (("ip", "-j", "addr", "show"), ("ip", "-j", "-4", "route", "show"))
LOOK6 = ("ip", "-j", "-6", "route", "show")


@dataclass(frozen=True)
class Wan:
    """What the default routes and their interfaces show. interface6 is "" without an IPv6 default route.

    delegated: prefixes that a router has given to this machine by DHCPv6; see facts/delegation.py.
    """

    interface: str
    address: IPv4Address
    network: IPv4Network
    interface6: str = ""
    addresses6: tuple[IPv6Address, ...] = ()
    prefixes: tuple[IPv6Network, ...] = ()
    delegated: tuple[IPv6Network, ...] = ()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Both families' interfaces, each once."""
        return tuple(dict.fromkeys(name for name in (self.interface, self.interface6) if name))


def read(run: Run, wifi: Callable[[], Mapping[str, str]] = dict) -> Wan:
    """The WAN as it is now; WaitingError says what is still missing.

    `wifi` tells what wireless interfaces are doing, by name; it is asked only if there is no way out.
    """
    links, routes4 = (run(argv) for argv in LOOK4)
    routes6 = run(LOOK6)
    with reading("what `ip` says of addresses and routes"):
        return parse(json.loads(links), json.loads(routes4), json.loads(routes6), wifi)


Rows = list[dict[str, Any]]


def parse(links: Rows, routes4: Rows, routes6: Rows, wifi: Callable[[], Mapping[str, str]] = dict) -> Wan:
    """From the rows of `ip -j addr` and `ip -j route` of both families."""
    interface = default_interface(routes4)
    if not interface:
        raise WaitingError(
            _why_no_route(links, wifi()), "the gateway needs an IPv4 address and a default route by DHCP"
        )
    own = [row for row in _addresses(links, interface) if row["family"] == "inet"]
    if not own:
        raise WaitingError(f"no IPv4 address on {interface}")
    local = ip_interface(f"{own[0]['local']}/{own[0]['prefixlen']}")
    assert isinstance(local.network, IPv4Network) and isinstance(local.ip, IPv4Address)
    interface6 = default_interface(routes6)
    if not interface6:
        return Wan(interface, local.ip, local.network)
    addresses = [row for row in _addresses(links, interface6) if _is_global6(row)]
    return Wan(
        interface,
        local.ip,
        local.network,
        interface6,
        tuple(IPv6Address(row["local"]) for row in addresses),
        _prefixes(addresses, routes6, interface6, _deprecated(_addresses(links, interface6))),
    )


def stranded(links: Rows, routes4: Rows) -> str:
    """A card whose address came by DHCP and whose default route is gone; "" where there is none such."""
    if default_interface(routes4):
        return ""
    own = ((row, address) for row in cards(links) for address in row.get("addr_info", []) if has_carrier(row))
    dynamic = (
        str(row["ifname"])
        for row, address in own
        if address["family"] == "inet" and address["scope"] == "global" and address.get("dynamic")
    )
    return next(dynamic, "")


def default_interface(routes: Rows) -> str:
    """Interface of the best default route that is not ZeroTier's own; "" when there is none."""
    defaults = [row for row in routes if row.get("dst") == "default" and not _is_zerotier(row)]
    best = min(defaults, key=lambda row: int(row.get("metric", 0)), default=None)
    if best is None:
        return ""
    # A route of several next hops names the interface there.
    hops = best.get("nexthops") or [best]
    name = str(hops[0].get("dev", ""))
    if name and not INTERFACE.fullmatch(name):  # the kernel allows more; it goes into rules and settings
        raise ValueError("an interface's name")
    return name


def cards(links: Rows) -> Rows:
    """The network cards among the rows of `ip -j addr`."""
    return [row for row in links if row.get("link_type") == "ether" and not _is_virtual(row)]


def has_carrier(row: dict[str, Any]) -> bool:
    """Whether a cable is plugged in, or a wireless network is joined."""
    return "LOWER_UP" in row.get("flags", [])


def _is_zerotier(row: dict[str, Any]) -> bool:
    return str(row.get("dev", "")).startswith("zt")


def _addresses(links: Rows, interface: str) -> Rows:
    for link in links:
        if link.get("ifname") == interface:
            rows = [row for row in link.get("addr_info", []) if row.get("scope") == "global"]
            return sorted(rows, key=lambda row: bool(row.get("secondary")))
    return []


def _is_global6(row: dict[str, Any]) -> bool:
    if row["family"] != "inet6" or row.get("temporary") or row.get("deprecated"):
        return False
    return IPv6Address(row["local"]) in GLOBAL


def _deprecated(addresses: Rows) -> frozenset[IPv6Network]:
    """/64s that the router takes back: for nothing new, if there is another one (RFC 4862, 5.5.4)."""
    own = [row for row in addresses if row["family"] == "inet6" and not row.get("temporary")]
    fresh = {_net(row) for row in own if not row.get("deprecated")}
    return frozenset({_net(row) for row in own} - fresh)


def _net(row: dict[str, Any]) -> IPv6Network:
    return IPv6Network(f"{row['local']}/64", strict=False)


def _prefixes(
    addresses: Rows, routes6: Rows, interface6: str, old: frozenset[IPv6Network]
) -> tuple[IPv6Network, ...]:
    """Global /64s: of the addresses, then those that a router advertisement put on the link.

    old: which count only if there are no others.
    """
    found = [_net(row) for row in addresses if row["prefixlen"] == 64]
    for row in routes6:
        if row.get("dev") == interface6 and str(row.get("dst", "")).endswith("/64") and "gateway" not in row:
            prefix = IPv6Network(row["dst"])
            if prefix.subnet_of(GLOBAL):
                found.append(prefix)
    return tuple(dict.fromkeys([net for net in found if net not in old] or found))


def _why_no_route(links: Rows, wifi: Mapping[str, str]) -> str:
    present = cards(links)
    wired = [row for row in present if row["ifname"] not in wifi]
    carrier = [row for row in present if has_carrier(row)]
    for row in carrier:
        if any(a["family"] == "inet" and a["scope"] == "global" for a in row["addr_info"]):
            return f"no default route, though {row['ifname']} has an IPv4 address"
    if carrier:
        return f"no IPv4 address yet on {', '.join(row['ifname'] for row in carrier)}: waiting for DHCP"
    if not present:
        return "no network card found"
    reasons = [f"{name}: {doing}" for name, doing in wifi.items()]
    if wired:
        names = ", ".join(row["ifname"] for row in wired)
        reasons.insert(0, f"no link on {names}: is the cable plugged in?")
    return "; ".join(reasons)


def _is_virtual(row: dict[str, Any]) -> bool:
    return "NOARP" in row.get("flags", []) or str(row.get("ifname", "")).startswith(("zt", "veth", "docker"))
