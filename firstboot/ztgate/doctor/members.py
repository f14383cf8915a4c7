"""A member's path, both ways: somebody who was heard of lately answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .. import derive
from ..errors import WaitingError
from ..facts.neighbours import answered
from ..wait import until
from ..zerotier import Network
from .patient import Patient, Rows
from .probes import ping
from .verdict import Result
from .zerotier import active_path

RECENT = 120  # seconds since a member was heard in which it counts as switched on
MOST = 4  # members who are asked; one that answers is enough
REPROBE = 4.0  # seconds in which a neighbour that is there has said so


@dataclass(frozen=True)
class Candidate:
    """A member who seems to be there: node, an address to ping, MAC address if it was resolved, way."""

    node: str
    address: str
    lladdr: str
    way: str


def path(patient: Patient) -> Result:
    """One of the members that were heard lately answers a ping, or at least its neighbour's question."""
    network, node = patient.network(), str(patient.status()["address"])
    rows = patient.rows("-4", "-s", "neigh", "show", "dev", network.interface)
    found = candidates(network, node, patient.peers(), rows)
    for member in found:
        if ping(patient.probe, member.address, "-I", _source(network, node, member.address)):
            return True, f"{member.node} answers at {member.address}, {member.way}", ""
    for member in found:
        if member.lladdr and _resolves(patient, network.interface, member):
            return True, f"{member.node} is at {member.address}, {member.way}; it answers no pings", ""
    return judge(found, network.interface)


def judge(silent: list[Candidate], interface: str) -> Result:
    """When nobody has answered."""
    if not silent:
        return True, "no member is online", ""
    listed = ", ".join(f"{member.node} ({member.address}, {member.way})" for member in silent)
    step = f"if it is switched on: tcpdump -ni {interface}, and ping {silent[0].address}"
    return False, f"heard lately, but silent now: {listed}", step


def candidates(network: Network, node: str, peers: Rows, neighbours: Rows) -> list[Candidate]:
    """Members who were heard lately, by ARP or by their own packets to ZeroTier.

    neighbours: of `ip -s -j -4 neigh`; `confirmed` counts seconds.
    """
    ways = {str(peer["address"]): _way(peer) for peer in peers}
    found: dict[str, Candidate] = {}
    for row in answered(neighbours):
        lladdr = str(row["lladdr"])
        other = derive.node_of(lladdr, network.mac, node)
        if int(row.get("confirmed", RECENT)) < RECENT or active_path(_peer(peers, other)):
            found[other] = Candidate(other, str(row["dst"]), lladdr, ways.get(other, "relayed"))
    if any(address.ip == derive.rfc4193(network.id, node) for address in network.addresses6):
        for peer in _members(peers, network.id):
            other = str(peer["address"])
            address = str(derive.rfc4193(network.id, other))
            found.setdefault(other, Candidate(other, address, "", ways[other]))
    return list(found.values())[:MOST]


def _members(peers: Rows, network: str) -> Iterable[dict[str, Any]]:
    """Peers with a living path, but for the controller, which is seldom a member."""
    controller = network[:10]
    return (p for p in peers if p.get("role") == "LEAF" and active_path(p) and p.get("address") != controller)


def _peer(peers: Rows, node: str) -> dict[str, Any]:
    return next((peer for peer in peers if peer.get("address") == node), {})


def _way(peer: dict[str, Any]) -> str:
    direct = active_path(peer)
    latency = int(peer.get("latency", -1))
    return (f"direct by {direct}" if direct else "relayed") + (f", {latency} ms" if latency >= 0 else "")


def _source(network: Network, node: str, target: str) -> str:
    if ":" in target:
        return str(derive.rfc4193(network.id, node))
    return str(network.addresses4[0].ip) if network.addresses4 else network.interface


def _resolves(patient: Patient, interface: str, member: Candidate) -> bool:
    """Have the kernel ask the neighbour again, and wait for its answer."""
    entry = (member.address, "lladdr", member.lladdr, "dev", interface, "nud", "probe")
    patient.probe("ip", "neigh", "replace", *entry)

    def look() -> bool:
        rows = patient.rows("neigh", "show", member.address, "dev", interface)
        states = {state for row in rows for state in row.get("state", [])}
        if states & {"PROBE", "DELAY", "INCOMPLETE"}:
            raise WaitingError(f"{member.address} is being asked")
        return "REACHABLE" in states

    try:
        return until(look, seconds=REPROBE, clock=patient.machine.clock, say=lambda _: None)
    except WaitingError:
        return False
