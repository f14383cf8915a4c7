"""How the gateway is: what of it runs, and whether members' packets go out. Reads, and decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import report, store
from ..errors import ZtgateError
from ..facts import wan
from ..machine import Machine
from ..steps import prove
from . import packages
from .book import Before

# What a gateway is made of. One that was not wanted before is none of an update's business.
ALWAYS = (
    *("ztgate-watch.service", "ztgate.timer", "nftables.service", "ssh.socket"),
    *("systemd-networkd.service", "systemd-resolved.service"),
)
# ztgate starts these when it has found a way out: before it has, they are missed by nobody.
ZEROTIER = "zerotier-one.service"
LED = (ZEROTIER, "ztgate-ndppd.service", "ztgate-dns.service", "ztgate-page.socket")
STEADY = 10.0  # seconds for which a service runs without a new start, before it counts
SILENT = 60.0  # seconds without a packet from the WAN's side, after which it is taken for dead
FORWARDING = "net/ipv4/ip_forward"
Unit = tuple[str, str]  # a unit's state, and its run
ACTIVE = "active"
IDLE: Unit = ("inactive", "")


@dataclass(frozen=True)
class Look:
    """One look. problems: what is broken on this machine, in words that stay the same from look to look.

    reason: what ztgate waits for, or failed of. uplink: the internet answers. carrier, heard, address: of the
    WAN's side: something is plugged in, something arrives, DHCP has given an address and a way out.
    """

    problems: tuple[str, ...] = ()
    ready: bool = False
    reason: str = ""
    uplink: bool = False
    carrier: bool = False
    heard: bool = False
    address: bool = False


class Observer:
    """Looks again and again: whether a service stays up takes more than one look to see."""

    def __init__(self, machine: Machine, before: Before) -> None:
        """What ztgate has said so far does not count any more."""
        self.machine, self.before = machine, before
        self._said = store.read_text(machine.paths.last_run)
        self._steady: dict[str, tuple[str, float]] = {}
        self._received: tuple[int, float] = (0, machine.clock.now())

    def look(self) -> Look:
        """How it is now."""
        machine = self.machine
        status = report.read(machine)
        fresh = store.read_text(machine.paths.last_run) != self._said
        ready = fresh and status.get("state") == "ready"
        reason = str(status.get("reason", "")) if fresh else "ztgate has not come to an end yet"
        states = _states(machine)
        idle = {name for name in LED if not ready and states.get(name, IDLE) == IDLE}
        node = "" if ZEROTIER in idle else self.before.node
        problems = (*self._unsteady(states, idle), *_whole(machine, node))
        if ready or problems:
            return Look(problems, ready, reason)
        links, routes = _rows(machine, *wan.LOOK4[0]), _rows(machine, *wan.LOOK4[1])
        cards = wan.cards(links)
        own = [row for card in cards for row in card.get("addr_info", []) if row.get("scope") == "global"]
        return Look(
            problems=problems,
            reason=reason,
            uplink=any(_answers(machine, host) for host in prove.TARGETS[4]),
            carrier=any(map(wan.has_carrier, cards)),
            heard=self._heard(sum(_received(machine, str(card["ifname"])) for card in cards)),
            address=bool(wan.default_interface(routes)) and any(row.get("family") == "inet" for row in own),
        )

    def _unsteady(self, states: Mapping[str, Unit], idle: set[str]) -> list[str]:
        """Units that ran before and do not, or not for long enough."""
        now = self.machine.clock.now()
        found = []
        for name in self.before.units:
            state, run = states.get(name, IDLE)
            if self._steady.get(name, ("", 0.0))[0] != run:
                self._steady[name] = (run, now)
            steady = state == ACTIVE and now - self._steady[name][1] >= STEADY
            if not steady and name not in idle:
                found.append(f"{name} does not stay up")
        return found

    def _heard(self, received: int) -> bool:
        if received != self._received[0]:
            self._received = (received, self.machine.clock.now())
        return self.machine.clock.now() - self._received[1] < SILENT


def before(machine: Machine) -> Before:
    """How it is before an update."""
    try:
        node = machine.service.node()
    except ZtgateError:
        node = ""
    ready = report.read(machine).get("state") == "ready"
    running = tuple(name for name, (state, _) in _states(machine).items() if state == ACTIVE)
    return Before(ready, running, tuple(_whole(machine, node)), node)


def _whole(machine: Machine, node: str) -> list[str]:
    """What is wrong beside services that do not run."""
    found = []
    if half := packages.problem(machine):
        found.append(f"packages are half installed: {half}")
    if (store.read_text(machine.paths.sysctl / FORWARDING) or "1").strip() != "1":
        found.append("it does not forward")
    if machine.probe((str(machine.paths.rules), "check"))[0] != 0:
        found.append("the firewall's rules are not as they were loaded")
    try:
        if node and machine.service.node() != node:
            found.append("ZeroTier has another identity")
    except ZtgateError:
        found.append("ZeroTier's service does not answer")
    return found


def _states(machine: Machine) -> dict[str, Unit]:
    """Of each unit, systemd's ActiveState, and what it calls this run of it."""
    keys = "Id,ActiveState,InvocationID"
    _, said = machine.probe(("systemctl", "show", f"--property={keys}", *ALWAYS, *LED))
    found = {}
    for block in said.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if state := values.get("ActiveState"):
            found[values.get("Id", "")] = (state, values.get("InvocationID", ""))
    return {name: IDLE if unit[0] == IDLE[0] else unit for name, unit in found.items()}


def _answers(machine: Machine, host: str) -> bool:
    return machine.probe(("ping", "-4", "-n", "-q", "-c", "1", "-W", "1", host))[0] == 0


def _received(machine: Machine, interface: str) -> int:
    text = (store.read_text(machine.paths.interfaces / interface / "statistics/rx_packets") or "").strip()
    return int(text) if text.isdigit() else 0


def _rows(machine: Machine, *argv: str) -> list[dict[str, Any]]:
    status, said = machine.probe(argv)
    try:
        rows = json.loads(said) if status == 0 else []
    except ValueError:
        rows = []
    return [row for row in rows if isinstance(row, dict)]
