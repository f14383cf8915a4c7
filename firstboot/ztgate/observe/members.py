"""Who is in the network, from what is seen of nodes and the firewall's counters: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from .. import derive
from ..members import Sight
from ..page.facts import Member
from ..zerotier import Network

Rows = list[dict[str, Any]]
REMEMBERED = 86400.0  # seconds for which templates/fast_path.j2 keeps a member's counters
SETS = {"sent4": 4, "sent6": 6, "received4": 4, "received6": 6}
LINK_LOCAL = IPv6Network("fe80::/10")


@dataclass(frozen=True)
class Use:
    """What the firewall has counted for an address. last: seconds since 1970 of the last packet."""

    bytes: int
    last: float


def uses(items: Rows, now: float) -> dict[str, dict[str, Use]]:
    """By set and address, from what `nft -j list` shows."""
    found: dict[str, dict[str, Use]] = {name: {} for name in SETS}
    for item in items:
        entry = item.get("set", {})
        for row in entry.get("elem", ()) if entry.get("name") in SETS else ():
            element = row.get("elem", {}) if isinstance(row, dict) else {}
            count = int(element.get("counter", {}).get("bytes", 0))
            quiet = REMEMBERED - float(element.get("expires", REMEMBERED))
            found[entry["name"]][str(element.get("val"))] = Use(count, now - quiet)
    return found


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
    seen: Mapping[str, Sight],
    counted: Mapping[str, Mapping[str, Use]],
    names: Mapping[str, str],
    subnet: IPv6Network | None,
) -> tuple[Member, ...]:
    """Everybody but this gateway, and the controller unless that is a member, too."""
    owners = {a: node for node, sight in seen.items() for a in sight.addresses if not _link_local(a)}
    for each in counted.values():
        for address in each:
            owners.setdefault(address, node_at(address, network.id, subnet))
    for node in seen:
        if node != network.id[:10] or node in owners.values():
            owners.setdefault(str(derive.rfc4193(network.id, node)), node)
    rows: dict[str, Member] = {}
    for address, node in sorted(owners.items(), key=lambda pair: (":" in pair[0], pair[0])):
        if node == own:
            continue
        key = node or address
        member = rows.get(key) or _sighted(Member(node, names.get(node, "")), seen.get(node, Sight()))
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


def _sighted(member: Member, sight: Sight) -> Member:
    direct = {"direct": True, "relayed": False}.get(sight.way)
    return replace(member, direct=direct, latency=sight.latency, heard=sight.seen)


def _link_local(address: str) -> bool:
    return ":" in address and IPv6Address(address) in LINK_LOCAL
