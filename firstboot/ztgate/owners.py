"""Whose address is whose, as sets of the firewall: so nobody sends with another one's.

ZeroTier checks the MAC address that a frame comes from (1.14.1, node/IncomingPacket.cpp, _doEXT_FRAME:
another one than the node's own is for bridges), and that follows from the node. It does not check IP
addresses, unless the network's rules ask for it. Whose they are is known of IPv6 addresses that are made
from a node id, and of IPv4 addresses as the controller had them when it was asked last. That may be long
ago, so an owner counts only while it is there (templates/nftables.j2). All this comes and goes, and is no
part of the rules' revision: to load them again forgets all counters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Network, ip_address

from . import derive, names
from .actions import Action, Command
from .facts.wan import Wan
from .machine import Machine
from .zerotier import Network

# The sets, and which tables have them: that of ARP cannot look into another one's.
OURS, ARP = "inet ztgate", "arp ztgate"
SETS = {"own4": (OURS,), "own6": (OURS,), "owner4": (OURS, ARP), "owner6": (OURS,)}
MOST = 4096  # nodes
Elements = dict[str, set[str]]


def elements(
    wan: Wan, network: Network, node: str, nodes: Iterable[str], recalled: Mapping[str, list[str]],
    subnet: IPv6Network | None,
) -> Elements:  # fmt: skip
    """What is to be in each set. nodes: others that are known; recalled: of names.remembered()."""
    found: Elements = {
        "own4": {str(address) for address in (wan.address, *(each.ip for each in network.addresses4))},
        "own6": {str(address) for address in (*wan.addresses6, *(each.ip for each in network.addresses6))},
        "owner4": set(),
        "owner6": set(),
    }
    for other in sorted({*nodes, *recalled} - {node})[:MOST]:
        mac = derive.mac(network.id, other)
        made = [
            derive.rfc4193(network.id, other),
            *([derive.member_address(subnet, other)] if subnet else []),
        ]
        found["owner6"] |= {f"{address} . {mac}" for address in made}
        found["owner4"] |= {f"{text} . {mac}" for text in recalled.get(other, [])[1:]}
    return found


def parse(output: str) -> Elements:
    """The sets as they are, of `nft -j list table`; concatenations as they are written."""
    found: Elements = {}
    for item in json.loads(output or "{}").get("nftables", []):
        entry = item.get("set", {})
        if entry.get("name") in SETS:
            found[entry["name"]] = {_written(row) for row in entry.get("elem", [])}
    return found


def _written(row: str | dict[str, list[str]]) -> str:
    parts = [row] if isinstance(row, str) else row["concat"]
    return " . ".join(str(ip_address(part)) if index == 0 else part for index, part in enumerate(parts))


def plan(wanted: Elements, present: Elements, sets: Mapping[str, tuple[str, ...]] = SETS) -> list[Action]:
    """What is missing comes in, what is over goes, in one transaction."""
    lines = [
        f"{verb} element {table} {name} {{ {', '.join(sorted(which))} }}"
        for name, tables in sets.items()
        if name in present
        for verb, which in (("delete", present[name] - wanted[name]), ("add", wanted[name] - present[name]))
        if which
        for table in tables
    ]
    text = "".join(f"{line}\n" for line in lines)
    return [Command(("nft", "-f", "-"), "who has which address", stdin=text)] if lines else []


def known(machine: Machine, wan: Wan, network: Network, node: str, subnet: IPv6Network | None) -> Elements:
    """What the firewall is to know now."""
    return elements(wan, network, node, machine.service.peers(), names.recalled(machine), subnet)
