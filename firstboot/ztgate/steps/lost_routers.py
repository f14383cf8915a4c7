"""Step: an IPv6 router that is gone is not used any more, where there is another one.

A machine that forwards does not look whether its routers are there (rt6_score_route() in Linux'
net/ipv6/route.c does so for hosts only). After a router was replaced it would send half of all connections to
the last one, until the lifetime is over that this one had announced: half an hour and more. An announcement
brings a route back.
"""

from __future__ import annotations

import json
from typing import Any

from ..actions import Action, Command
from ..errors import reading
from ..facts.neighbours import answered
from ..facts.wan import LOOK6
from ..machine import Machine

Rows = list[dict[str, Any]]
Hop = tuple[str, str]  # a router's address, and the interface that it is on
PATIENCE = "4"  # seconds; the kernel asks three times for a MAC address, once a second


def parse(routes6: Rows) -> list[Hop]:
    """The next hops of default routes in `ip -j -6 route`, without ZeroTier's."""
    found = [hop for row in routes6 if row.get("dst") == "default" for hop in row.get("nexthops") or [row]]
    hops = [(str(hop["gateway"]), str(hop.get("dev", ""))) for hop in found if "gateway" in hop]
    return [hop for hop in dict.fromkeys(hops) if not hop[1].startswith("zt")]


def plan(hops: list[Hop], present: set[Hop]) -> list[Action]:
    """Who does not answer goes, unless nobody does: then it is the cable, or a moment."""
    if not present & set(hops):
        return []
    why = "this router is gone, and there is another one"
    return [
        Command(("ip", "-6", "route", "del", "default", "via", gateway, "dev", interface), why)
        for gateway, interface in hops
        if (gateway, interface) not in present
    ]


def run(machine: Machine) -> None:
    """Where there are several, ask each of them. Not in a dry run, as the kernel forgets by that."""
    with reading("what `ip` says of IPv6 routes"):
        hops = parse(json.loads(machine.run(LOOK6) or "[]"))
    if len(hops) > 1 and not machine.dry_run:
        machine.mend("wan-route", plan(hops, {hop for hop in hops if _is_there(machine, hop)}))


def _is_there(machine: Machine, hop: Hop) -> bool:
    """Whether it answers a ping, or else says which MAC address it has: what was known of that may be old."""
    gateway, interface = hop
    ping = ("ping", "-6", "-n", "-q", "-c", "1", "-W", PATIENCE, "-I", interface, gateway)
    if machine.probe(ping)[0] == 0:
        return True
    machine.probe(("ip", "-6", "neigh", "del", gateway, "dev", interface))
    machine.probe(ping)
    with reading("what `ip neigh` says"):
        rows: Rows = json.loads(machine.run(("ip", "-6", "-j", "neigh", "show", "dev", interface)) or "[]")
    return any(row.get("dst") == gateway for row in answered(rows))
