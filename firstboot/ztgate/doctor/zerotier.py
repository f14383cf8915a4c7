"""From ZeroTier's device to the network's routes: what the local service says."""

from __future__ import annotations

from typing import Any

from ..facts import tun
from ..zerotier import Network
from .patient import Patient, Rows
from .verdict import Result

# What helps when the network is not OK.
NEXT = {
    "ACCESS_DENIED": "authorize this node at the controller, or run ztgate register --token-file FILE",
    "NOT_FOUND": "is network: in gateway.yaml right? does the network still exist at the controller?",
    "PORT_ERROR": "journalctl -u zerotier-one: it could not make its network device",
    "AUTHENTICATION_REQUIRED": "exempt this member from the network's login (SSO) at the controller",
    "REQUESTING_CONFIGURATION": "the network's controller does not answer: is it reachable?",
}


def device(patient: Patient) -> Result:
    """ZeroTier can make its network device."""
    problem = tun.problem(patient.machine.paths.tun)
    return (False, *problem) if problem else (True, str(patient.machine.paths.tun), "")


def online(patient: Patient) -> Result:
    """The service runs and reaches a root server."""
    if patient.probe("systemctl", "is-active", "--quiet", "zerotier-one.service")[0] != 0:
        return (
            False,
            "zerotier-one is not running",
            "systemctl start zerotier-one, then ztgate apply",
        )
    status = patient.status()
    evidence = f"node {status['address']}, version {status.get('version')}"
    if status.get("online"):
        return True, f"{evidence}, online", ""
    return (
        False,
        f"{evidence}, OFFLINE: no root server is reached",
        "is UDP 9993 let out? tcpdump -ni any udp port 9993",
    )


def paths(patient: Patient) -> Result:
    """How it talks to other nodes."""
    return judge_paths(patient.status(), patient.peers())


def judge_paths(status: dict[str, Any], peers: Rows) -> Result:
    """Relayed is slower, and fine; over ZeroTier's TCP relay nothing else works either."""
    if status.get("tcpFallbackActive") or any(peer.get("tunneled") for peer in peers):
        return (
            False,
            "over ZeroTier's TCP relay, which is slow: no UDP gets through",
            "let UDP 9993 out at the firewall in front of this machine",
        )
    leaves = [peer for peer in peers if peer.get("role") == "LEAF"]
    relayed = [str(peer.get("address")) for peer in leaves if not active_path(peer)]
    parts = [f"{len(leaves) - len(relayed)} peers direct"] if len(leaves) > len(relayed) else []
    if relayed:
        parts.append(f"{', '.join(relayed[:5])}{' …' if relayed[5:] else ''} relayed or away")
    roots = [peer for peer in peers if peer.get("role") != "LEAF" and active_path(peer)]
    parts += [f"root {peer.get('address')} at {active_path(peer)}" for peer in roots[:1]]
    return True, ", ".join(parts) or "no peers yet", ""


def active_path(peer: dict[str, Any]) -> str:
    """Where a peer is reached directly, "address/port"; "" when it is not."""
    ways = [way for way in peer.get("paths", []) if way.get("active") and not way.get("expired")]
    ways.sort(key=lambda way: not way.get("preferred"))
    return str(ways[0].get("address", "")) if ways else ""


def membership(patient: Patient) -> Result:
    """The controller lets this node in."""
    network = patient.network()
    evidence = f"{network.id} on {network.interface}: {network.status}"
    return network.status == "OK", evidence, NEXT.get(network.status, "ztgate apply")


def mac(patient: Patient) -> Result:
    """Members work out the MAC address from the node's; the device must have that one."""
    network = patient.network()
    row = next((row for row in patient.links() if row.get("ifname") == network.interface), {})
    found = str(row.get("address", "none"))
    evidence = f"{network.interface} has {found}, ZeroTier gave {network.mac}"
    return found == network.mac, evidence, "systemctl restart zerotier-one, then ztgate apply"


def addresses(patient: Patient) -> Result:
    """The controller gives the address that default routes lead to."""
    return judge_addresses(patient.network(), patient.state.address)


def judge_addresses(network: Network, wanted: str) -> Result:
    """Whether the wanted address is among the network's."""
    listed = ", ".join(map(str, (*network.addresses4, *network.addresses6)))
    ok = any(str(address.ip) == wanted for address in network.addresses4)
    return ok, listed or "none", f"expected {wanted or 'one'}: look at this member at the controller"


def default_routes(patient: Patient) -> Result:
    """Members are sent here."""
    return judge_default_routes(patient.network(), patient.state.routes)


def judge_default_routes(network: Network, ours: tuple[str, ...]) -> Result:
    """ours: what this gateway has published, "0.0.0.0/0 via 10.66.0.1"."""
    shown = [f"{target} via {via}" for target, via in network.routes if target.endswith("/0") and via]
    missing = [route for route in ours if route not in shown]
    evidence = ", ".join(shown) or "no default route is published"
    if not ours:
        return False, f"{evidence}: set-up has not come so far", "ztgate status says what it waits for"
    if missing:
        evidence += f"; missing: {', '.join(missing)}"
    return not missing, evidence, "put it back at the controller, or ztgate register --token-file FILE"
