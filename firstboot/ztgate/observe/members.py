"""Who is in the network, from ZeroTier's peers, the kernel's neighbours and the firewall's counters: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from .. import derive
from ..doctor.members import node_of
from ..doctor.zerotier import active_path
from ..page.facts import Member
from ..zerotier import Network

Rows = list[dict[str, Any]]
REMEMBERED = 86400.0  # seconds for which templates/nftables.j2 keeps a member's counters
SETS = {"sent4": 4, "sent6": 6, "received4": 4, "received6": 6}
AWAKE = {"REACHABLE", "DELAY", "PROBE"}  # states of a neighbour that was heard of within a minute
LINK_LOCAL = IPv6Network("fe80::/10")


@dataclass(frozen=True)
class Use:
    """What the firewall has counted for an address. last: seconds since 1970 of the last packet."""

    bytes: int
    last: float


def uses(items: Rows, now: float) -> dict[str, dict[str, Use]]:
    """By set and address, from the items of `nft -j list table inet ztgate`."""
    found: dict[str, dict[str, Use]] = {name: {} for name in SETS}
    for item in items:
        entry = item.get("set", {})
        for row in entry.get("elem", ()) if entry.get("name") in SETS else ():
            element = row.get("elem", {}) if isinstance(row, dict) else {}
            count = int(element.get("counter", {}).get("bytes", 0))
            quiet = REMEMBERED - float(element.get("expires", REMEMBERED))
            found[entry["name"]][str(element.get("val"))] = Use(count, now - quiet)
    return found


def alive(neighbours: Rows) -> dict[str, dict[str, Any]]:
    """The neighbours that have said where they are, by address."""
    rows = {str(row.get("dst", "")): row for row in neighbours if row.get("lladdr")}
    return {
        address: row
        for address, row in rows.items()
        if "FAILED" not in row.get("state", ()) and not _link_local(address)
    }


def node_at(address: str, network: str, subnet: IPv6Network | None) -> str:
    """The node of an IPv6 address that was made from it; "" for others."""
    if ":" not in address:
        return ""
    number = IPv6Address(address)
    for base in (derive.rfc4193_range(network), subnet):
        if base is not None and number in base:
            return f"{int(number) & 0xFFFFFFFFFF:010x}"
    return ""


def merge(
    network: Network,
    own: str,
    peers: Rows,
    neighbours: Rows,
    counted: Mapping[str, Mapping[str, Use]],
    names: Mapping[str, str],
    subnet: IPv6Network | None,
    now: float,
) -> tuple[Member, ...]:
    """Everybody but this gateway and the controller, unless that is a member, too."""
    near = alive(neighbours)
    owners = {address: node_of(str(row["lladdr"]), network.mac, own) for address, row in near.items()}
    for each in counted.values():
        for address in each:
            owners.setdefault(address, node_at(address, network.id, subnet))
    leaves = {str(peer["address"]): peer for peer in peers if peer.get("role") == "LEAF"}
    for node in leaves:
        if node != network.id[:10] or node in owners.values():
            owners.setdefault(str(derive.rfc4193(network.id, node)), node)
    rows: dict[str, Member] = {}
    for address, node in sorted(owners.items(), key=lambda pair: (":" in pair[0], pair[0])):
        if node == own:
            continue
        key = node or address
        member = rows.get(key) or _peer(Member(node, names.get(node, "")), leaves.get(node, {}))
        if AWAKE & set(near.get(address, {}).get("state", ())):
            member = replace(member, heard=now)
        rows[key] = _with_address(member, address, counted)
    return tuple(rows.values())


def _with_address(member: Member, address: str, counted: Mapping[str, Mapping[str, Use]]) -> Member:
    out, back = (counted[f"{way}{6 if ':' in address else 4}"].get(address) for way in ("sent", "received"))
    member = replace(
        member,
        addresses=(*member.addresses, address),
        sent=member.sent + (out.bytes if out else 0),
        received=member.received + (back.bytes if back else 0),
    )
    if out and ":" in address:
        return replace(member, used6=max(member.used6, out.last))
    return replace(member, used4=max(member.used4, out.last)) if out else member


def _peer(member: Member, peer: Mapping[str, Any]) -> Member:
    """How ZeroTier reaches it; paths that are not active any more say when it was heard."""
    if not peer:
        return member
    heard = [float(way.get("lastReceive", 0)) / 1000 for way in peer.get("paths", ())]
    direct = bool(active_path(dict(peer)))
    return replace(member, direct=direct, latency=int(peer.get("latency", -1)), heard=max([0.0, *heard]))


def _link_local(address: str) -> bool:
    return ":" in address and IPv6Address(address) in LINK_LOCAL
