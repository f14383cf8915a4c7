"""Whether what the controller was told still stands, as far as this machine can see: pure.

A controller does not say that it has put a member out or given its network another range. It shows in what
ZeroTier's service says, which asks the controller about once a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from .zerotier import Network

# What does what needs the controller's token, where that is not kept.
REGISTER = "ztgate register --token-file FILE"
DELETED = "NOT_FOUND"
# What was seen, and what to do.
Problem = tuple[str, str]


def lost(current: Network | None, address: IPv4Address) -> Problem | None:
    """What keeps members from this gateway although it was set up; None while nothing is known to."""
    if current is None:
        return None
    if current.status == DELETED:
        return (
            f"network {current.id}, which this gateway was set up for, is not at its controller any more",
            f"restore it there and run `{REGISTER}`, or put another network: and its token into gateway.yaml",
        )
    if current.status == "ACCESS_DENIED":
        return (
            f"the controller does not let this gateway into network {current.id} any more",
            f"authorize it at the controller, or run `{REGISTER}`",
        )
    if current.status != "OK":
        return None
    if not holds(current, address):
        ranges = ", ".join(map(str, current.lan4))
        now = f"has the IPv4 range {ranges} now" if ranges else "has no IPv4 range any more"
        return f"the network {now}: this gateway's {address} is outside", f"run `{REGISTER}`"
    if all(own.ip != address for own in current.addresses4):
        return (
            f"the controller has taken {address} from this gateway",
            f"give it back at the controller, or run `{REGISTER}`",
        )
    return None


def holds(current: Network, address: IPv4Address) -> bool:
    """Whether one of the network's ranges has the address: if none has, it is made a /0, or left out."""
    return any(address in net for net in current.lan4)


def unannounced(current: Network | None, routes: Iterable[str]) -> tuple[str, ...]:
    """Of the default routes that were published ("TARGET via NEXT HOP"), those that members are not told."""
    if current is None or current.status != "OK":
        return ()
    told = {(ip_network(target, strict=False), ip_address(via)) for target, via in current.routes if via}
    return tuple(route for route in routes if _parsed(route) not in told)


def _parsed(route: str) -> tuple[object, object]:
    target, _, via = route.partition(" via ")
    return ip_network(target), ip_address(via)
