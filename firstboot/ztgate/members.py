"""`ztgate members`: who is in the network and who waits, as the controller says, and as seen from here."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any

from . import admit, configfile, derive, names
from .controllers.base import Member
from .doctor.members import RECENT
from .doctor.zerotier import active_path
from .facts.neighbours import answered
from .machine import Machine
from .secret import Secret
from .zerotier import Network

GLOBAL = IPv6Network("2000::/3")
LONGEST_NAME = 28  # letters; with it a line has 80
SEEN = "so this is what the gateway itself sees"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Sight:
    """What this gateway knows of another node. way: direct, relayed, or "" for one that is not online.

    latency in ms, -1 if it is not known; seen is Unix time, 0.0 for never.
    """

    way: str = ""
    latency: int = -1
    seen: float = 0.0
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A member. state: authorized, waiting, put out, or "" where no controller was asked."""

    node: str
    name: str
    state: str
    addresses: tuple[str, ...]
    online: bool
    way: str
    latency: int
    last_seen: float
    this_gateway: bool


@dataclass(frozen=True)
class Listing:
    """asked: whether the controller was; note: what people should know of it."""

    network: str
    asked: bool
    note: str
    members: tuple[Row, ...]


def listing(machine: Machine, token: Secret | None) -> Listing:
    """The members; without a token, those that this gateway sees."""
    config = configfile.find(machine.paths).config
    settings, note = config.controller, ""
    if settings.kind == "none" and token is None:
        note = f"controller.kind is none, {SEEN}; the rest is in the controller's own list"
    elif not (settings.token or token):
        note = f"{admit.NO_TOKEN}, {SEEN}; {admit.TOKEN_HINT}"
    members: dict[str, Member] = {}
    if not note:
        admit.desk(machine, token, "leave out --token-file: it lists what the gateway itself sees")
        members = machine.require_controller().members(config.network)
        names.remember(machine, members.values())
    node, network = machine.service.node(), machine.service.network(config.network)
    near, mac = neighbours(machine, network), network.mac if network else ""
    seen = sights(machine.service.peer_rows(), near, mac, node, time.time())
    host = config.network[:10]  # the controller's node is a peer, and seldom a member
    if host in seen and not seen[host].addresses:
        del seen[host]
    own = (*network.addresses4, *network.addresses6) if network else ()
    seen[node] = Sight(addresses=tuple(str(each).partition("/")[0] for each in own))
    return Listing(config.network, not note, note, rows(members, seen, node, asked=not note))


def sights(peers: Rows, neighbours: Rows, mac: str, node: str, now: float) -> dict[str, Sight]:
    """Other nodes by id. peers: of the local service; neighbours: of `ip -s -j neigh`. mac, node: our own."""
    found: dict[str, Sight] = {}
    for peer in peers:
        if peer.get("role") == "LEAF":
            last = max((int(way.get("lastReceive", 0)) for way in peer.get("paths", [])), default=0)
            way = "direct" if active_path(peer) else ""
            found[str(peer["address"])] = Sight(way, int(peer.get("latency", -1)), last / 1000)
    for row in answered(neighbours):
        other = derive.node_of(str(row["lladdr"]), mac, node)
        ago = int(row.get("confirmed", RECENT))
        before = found.get(other, Sight())
        # Who has been heard, and not on a path of its own, came by a root server.
        way = before.way or ("relayed" if ago < RECENT else "")
        found[other] = Sight(
            way, before.latency, max(before.seen, now - ago), (*before.addresses, str(row["dst"]))
        )
    return found


def rows(
    members: Mapping[str, Member], seen: Mapping[str, Sight], gateway: str, *, asked: bool
) -> tuple[Row, ...]:
    """Whoever waits first, then by name and node id."""
    nodes = members if asked else seen
    made = [_row(node, members.get(node), seen.get(node, Sight()), gateway) for node in nodes]
    return tuple(sorted(made, key=lambda row: (row.state != "waiting", not row.name, row.name, row.node)))


def _row(node: str, member: Member | None, seen: Sight, gateway: str) -> Row:
    addresses = member.addresses if member and member.addresses else seen.addresses
    return Row(
        node=node,
        name=member.name if member else "",
        state=_state(member) if member else "",
        addresses=tuple(dict.fromkeys(filter(_shown, addresses))),
        online=bool(seen.way) or node == gateway,
        way=seen.way,
        latency=seen.latency,
        last_seen=max(seen.seen, member.seen if member else 0.0),
        this_gateway=node == gateway,
    )


def as_json(found: Listing) -> str:
    """For programs."""
    return json.dumps(asdict(found), indent=1) + "\n"


def text(found: Listing, now: float) -> str:
    """A table for people, 80 columns wide at most; a member's addresses are in a line of their own."""
    lines = [_line("NODE", "NAME", "STATE", "SEEN FROM HERE")] if found.members else ["nobody yet"]
    for row in found.members:
        lines.append(_line(row.node, _short(row.name), row.state or "unknown", _seen(row, now)))
        lines += [f"{'':12}{address}" for address in row.addresses]
    return "\n".join([*lines, *(["", *textwrap.wrap(found.note, 80)] if found.note else [])]) + "\n"


def _line(*cells: str) -> str:
    node, name, state, seen = cells
    return f"{node:10}  {name:{LONGEST_NAME}}  {state:10}  {seen}".rstrip()


def _short(name: str) -> str:
    clean = "".join(letter for letter in name if letter.isprintable())
    return clean if len(clean) <= LONGEST_NAME else clean[: LONGEST_NAME - 1] + "…"


def _seen(row: Row, now: float) -> str:
    if row.this_gateway:
        return "this gateway"
    if row.way:
        return row.way + (f", {row.latency} ms" if row.latency >= 0 else "")
    if not row.last_seen:
        return "never"
    ago = max(0.0, now - row.last_seen)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if ago >= size:
            return f"{ago // size:.0f} {unit} ago"
    return f"{ago:.0f} s ago"


def _state(member: Member) -> str:
    if member.authorized:
        return "authorized"
    return "put out" if member.refused else "waiting"


def _shown(text_: str) -> bool:
    """IPv4 addresses and global IPv6 ones: the others follow from the node id, or are of the link only."""
    address = ip_address(text_)
    return isinstance(address, IPv4Address) or address in GLOBAL


def neighbours(machine: Machine, network: Network | None) -> Rows:
    """Of `ip -s -j neigh`, those on the network's interface."""
    if network is None:
        return []
    code, output = machine.probe(("ip", "-s", "-j", "neigh", "show", "dev", network.interface))
    try:
        found = json.loads(output or "[]") if code == 0 else []
    except ValueError:
        return []
    return [row for row in found if isinstance(row, dict) and "dst" in row]
