"""Step: where the firewall's rules are gone, nothing is forwarded.

Rules can be flushed by hand or by another program, and forwarding without them would let everybody in. The
firewall marks what comes in; a routing rule of each interface drops what is for others and has no mark. It
stands behind the kernel's rule for this machine's own addresses, so these are reached all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .. import sysctl
from ..actions import Action, Command
from ..errors import reading
from ..machine import Machine

PRIORITY = 90  # after `local`, before `main`
MASK = 1  # the mark of templates/nftables.j2, chain `prerouting`
FAMILIES = (4, 6)
# rp_filter looks up the way back as if from the interface that the packet leaves by, without its mark unless
# this is set (fib_validate_source in net/ipv4/fib_frontend.c): a gate would be in that way.
VALID = "net/ipv4/conf/all/src_valid_mark"
Gates = frozenset[tuple[int, str]]


def parse(rows: dict[int, list[dict[str, Any]]]) -> Gates:
    """(family, interface) of our rules in `ip -j rule`."""
    ours = ((family, row) for family, found in rows.items() for row in found)
    return frozenset((family, str(row.get("iif"))) for family, row in ours if row.get("priority") == PRIORITY)


def plan(interfaces: Iterable[str], present: Gates) -> list[Action]:
    """A gate for each interface that packets are forwarded from, none for one that is nobody's any more."""
    wanted = {(family, name) for family in FAMILIES for name in interfaces if name}
    return [
        *(_rule("add", each, "without rules nothing is forwarded") for each in sorted(wanted - present)),
        *(_rule("del", each, "an interface of before") for each in sorted(present - wanted)),
    ]


def _rule(verb: str, gate: tuple[int, str], why: str) -> Command:
    family, name = gate
    what = ("pref", str(PRIORITY), "iif", name, "fwmark", f"0/{MASK}", "blackhole")
    return Command(("ip", f"-{family}", "rule", verb, *what), why)


def run(machine: Machine, interfaces: Iterable[str]) -> None:
    """After the rules are loaded: before, it would stop everybody."""
    machine.do(
        sysctl.plan({VALID: "1"}, sysctl.read(machine.paths, [VALID]), "the mark counts on the way back")
    )
    texts = {family: machine.run(("ip", f"-{family}", "-j", "rule")) or "[]" for family in FAMILIES}
    with reading("what `ip rule` says"):
        present = parse({family: json.loads(text) for family, text in texts.items()})
    machine.do(plan(interfaces, present))
