"""Step: the provider's router finds members' IPv6 addresses here, although their /64 is not routed to us.

The kernel answers for members that are known, both to multicast and to unicast questions; ndppd answers for
those that are not known yet, and only if they are really there.
"""

from __future__ import annotations

import json
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from .. import derive, store, sysctl
from ..actions import Action, Command, write_if_changed
from ..errors import reading
from ..facts.neighbours import answered
from ..machine import Machine
from ..zerotier import Network, in_range

UNIT = "ztgate-ndppd.service"
NEIGHBOURS = "what `ip neigh` says"
# The kernel's own limit for a neighbour table is 1024; leave room for others.
MOST = 512

# Milliseconds. ttl is also how long ndppd remembers that nobody answered, and a member's first answer can
# take a second while ZeroTier finds out who listens: with the usual 30 s a new member waits as long.
_NDPPD = """\
# Written by ztgate. Made for {zt} as interface number {index}: a new one needs a new start.
route-ttl 30000
proxy {wan} {{
    router yes
    timeout 1500
    ttl 3000
    rule {subnet} {{
        iface {zt}
    }}
}}
"""


def answering(wan: str) -> dict[str, str]:
    """What the kernel's proxy needs. `all` makes it answer unicast probes; without delay 0 it takes 0.8 s."""
    return {
        "net/ipv6/conf/all/proxy_ndp": "1",
        f"net/ipv6/conf/{wan}/proxy_ndp": "1",
        f"net/ipv6/neigh/{wan}/proxy_delay": "0",
    }


def kernel_wish(wan: str, zt: str) -> dict[str, str]:
    """The same, and that ZeroTier's addresses outlive a moment without their interface."""
    return {**answering(wan), f"net/ipv6/conf/{zt}/keep_addr_on_down": "1"}


def known_members(subnet: IPv6Network, nodes: tuple[str, ...], seen: list[IPv6Address]) -> set[IPv6Address]:
    """Whom to answer for: the controller's first choice for each node, and who was seen on the network."""
    chosen = {derive.member_address(subnet, node) for node in nodes}
    return chosen | {address for address in seen if address in subnet}


def parse_proxies(rows: list[dict[str, Any]]) -> set[tuple[IPv6Address, str]]:
    """(address, interface) of `ip -6 -j neigh show proxy`."""
    return {(IPv6Address(row["dst"]), str(row["dev"])) for row in rows if "dst" in row}


def parse_neighbours(rows: list[dict[str, Any]]) -> list[IPv6Address]:
    """Neighbours that answered, of `ip -6 -j neigh show dev zt...`."""
    return [IPv6Address(row["dst"]) for row in answered(rows)]


def plan_proxies(
    wanted: set[IPv6Address], present: set[tuple[IPv6Address, str]], wan: str, subnet: IPv6Network
) -> list[Action]:
    """Add who is missing. Entries of this WAN outside the /80 are of a prefix that is gone."""
    here = {address for address, interface in present if interface == wan}
    missing = sorted(wanted - here)[: max(0, MOST - len(here))]
    stale = sorted(address for address in here if address not in subnet)
    base = ("ip", "-6", "neigh")
    return [
        *(Command((*base, "add", "proxy", str(a), "dev", wan), "answer for a member") for a in missing),
        *(Command((*base, "del", "proxy", str(a), "dev", wan), "a prefix that is gone") for a in stale),
    ]


def ndppd_conf(wan: str, zt: str, index: str, subnet: IPv6Network) -> bytes:
    """ndppd 0.2.5's configuration; `iface` rather than `static`, so that scans find nobody."""
    return _NDPPD.format(wan=wan, zt=zt, index=index, subnet=subnet).encode()


def allow(machine: Machine, wan: str) -> None:
    """Have the kernel answer for the addresses in its table; it is empty at first."""
    _set(machine, answering(wan))


def run(machine: Machine, wan: str, network: Network, subnet: IPv6Network, node: str) -> None:
    """Bring kernel and ndppd in line."""
    zt = network.interface
    _set(machine, kernel_wish(wan, zt))

    own = [address.ip for address in in_range(network, subnet)]
    with reading(NEIGHBOURS):
        seen = own + parse_neighbours(_rows(machine, "dev", zt))
    present = _proxies(machine)
    nodes = (node, *machine.service.peers())
    machine.do(plan_proxies(known_members(subnet, nodes, seen), present, wan, subnet))

    index = (store.read_text(machine.paths.interfaces / zt / "ifindex") or "?").strip()
    conf = machine.paths.ndppd_conf
    changed = machine.do(
        write_if_changed(
            conf, ndppd_conf(wan, zt, index, subnet), store.read_bytes(conf), "ndppd for the /80"
        )
    )
    if changed or machine.probe(("systemctl", "is-active", "--quiet", UNIT))[0] != 0:
        restart = Command(("systemctl", "restart", UNIT), "ndppd answers for the /80")
        machine.mend("" if changed else "ndppd", [restart])


def plan_stop(present: set[tuple[IPv6Address, str]], wans: tuple[str, ...], active: bool) -> list[Action]:
    """Nobody is asked for members' addresses (any more): answer for nobody."""
    stale = sorted((address, name) for address, name in present if name in wans)
    base = ("ip", "-6", "neigh", "del", "proxy")
    return [
        *(Command((*base, str(address), "dev", name), "it is not asked for") for address, name in stale),
        *([Command(("systemctl", "stop", UNIT), "members' addresses are not asked for")] if active else []),
    ]


def stop(machine: Machine, wans: tuple[str, ...]) -> None:
    """Undo what run() did on these interfaces."""
    present = _proxies(machine)
    begun = store.read_bytes(machine.paths.ndppd_conf) is not None
    active = begun and machine.probe(("systemctl", "is-active", "--quiet", UNIT))[0] == 0
    machine.do(plan_stop(present, wans, active))


def _set(machine: Machine, wanted: dict[str, str]) -> None:
    machine.do(sysctl.plan(wanted, sysctl.read(machine.paths, list(wanted)), "proxy NDP"))


def _proxies(machine: Machine) -> set[tuple[IPv6Address, str]]:
    with reading(NEIGHBOURS):
        return parse_proxies(_rows(machine, "proxy"))


def _rows(machine: Machine, *which: str) -> list[dict[str, Any]]:
    output = machine.run(("ip", "-6", "-j", "neigh", "show", *which)) or "[]"
    return [row for row in json.loads(output) if isinstance(row, dict)]
