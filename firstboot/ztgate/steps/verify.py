"""Step: what the controller was told has arrived here, in ZeroTier's service and in the kernel.

The service's list of routes is what the controller sent, not what the kernel has: ZeroTier 1.14.1 does not
put back an address that was removed, and an existing route keeps its old next hop for good.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Any

from .. import lint, standing
from ..actions import Action, Command
from ..errors import WaitingError, ZtgateError, reading
from ..facts import around
from ..machine import Machine
from ..register import Target
from ..run import VanishedError
from ..zerotier import Network

PATIENCE = 20.0  # seconds for published routes to come back here; 1 to 5 were measured
UNIT = "zerotier-one.service"
REMEDY = "systemctl restart zerotier-one"
ZEROTIERS = {"kernel", "static"}  # protocols of the routes that come with addresses, and of ZeroTier's own
Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True)
class Kernel:
    """What the kernel has on ZeroTier's interface: addresses, and routes with their next hops (or "")."""

    addresses: frozenset[Interface]
    routes: dict[Target, str]
    defaults: frozenset[int]  # families with a default route
    up: bool = True


def parse(links: list[dict[str, Any]], routes: dict[int, list[dict[str, Any]]]) -> Kernel:
    """From `ip -j address` and each family's `ip -j route`, all of one interface."""
    rows = [row for link in links for row in link.get("addr_info", [])]
    found: dict[Target, str] = {}
    for family in routes.values():
        for row in family:
            if row["dst"] != "default" and row.get("protocol") in ZEROTIERS:
                found[ip_network(row["dst"])] = str(row.get("gateway", ""))
    return Kernel(
        frozenset(ip_interface(f"{row['local']}/{row['prefixlen']}") for row in rows),
        {net: via for net, via in found.items() if not net.is_link_local and not net.is_multicast},
        frozenset(
            version for version, family in routes.items() if any(row["dst"] == "default" for row in family)
        ),
        all("UP" in link.get("flags", ["UP"]) for link in links),
    )


def plan(network: Network, kernel: Kernel) -> list[Action]:
    """Put back what is missing; no default route leads into the tunnel that this is the end of."""
    actions: list[Action] = []
    base, on = ("ip",), ("dev", network.interface)
    if not kernel.up:
        actions.append(Command(("ip", "link", "set", network.interface, "up"), "members' interface was off"))
    for own in _own(network):
        if own not in kernel.addresses:
            why = "ZeroTier does not put an address back that was removed"
            actions.append(Command((*base, "address", "replace", str(own), *on), why))
        elif own.network not in kernel.routes and own.network.num_addresses > 1:
            source = ("src", str(own.ip)) if own.version == 4 else ()
            argv = (*base, f"-{own.version}", "route", "replace", str(own.network), *on, *source)
            actions.append(Command((*argv, "proto", "kernel"), "members' range was not routed to them"))
    for version in sorted(kernel.defaults):
        argv = (*base, f"-{version}", "route", "del", "default", *on)
        actions.append(Command(argv, "the way to the internet is not through the tunnel"))
    return actions


def differences(network: Network, kernel: Kernel) -> list[str]:
    """What the kernel has otherwise than the service says, and only ZeroTier can put right."""
    return [f"{text}: {REMEDY}" for text in _differences(network, kernel)]


def _differences(network: Network, kernel: Kernel) -> Iterator[str]:
    nets = {own.network for own in _own(network)}
    own = {each.ip for each in _own(network)}
    wanted: dict[Target, str] = {}
    for target, via in network.routes:
        net = ip_network(target, strict=False)
        # ZeroTier leaves out what leads through itself, the kernel what leads nowhere. The first counts.
        if via and net.prefixlen and ip_address(via) not in own and any(ip_address(via) in n for n in nets):
            wanted.setdefault(net, str(ip_address(via)))
    for net, via in wanted.items():
        if net in nets:
            continue
        found = kernel.routes.get(net)
        if found is None:
            yield f"the kernel has no route to {net} via {via}, which the network names"
        elif found != via:
            yield f"the kernel's route to {net} goes via {found or 'nobody'}, the network's via {via}"
    for net in kernel.routes.keys() - nets - wanted.keys():
        yield f"the kernel still has {net} on {network.interface}, which the network does not name any more"


def kernel(machine: Machine, network: Network) -> None:
    """Mend what can be mended here; warnings say what remains."""
    try:
        found = _read(machine, network.interface)
    except VanishedError:
        machine.mend("interface", [Command(("systemctl", "restart", UNIT), "members' interface is gone")])
        raise WaitingError(f"ZeroTier makes its interface {network.interface} again") from None
    machine.mend("routes" if found.up else "interface", plan(network, found))
    for text in differences(network, found):
        machine.warn(text)


def overlaps(machine: Machine, network: Network, *, refuse: bool) -> None:
    """No range of the network is one of this machine's others too: it is refused, or a warning says so.

    The WAN and the network's ranges may have changed since the controller was last looked at.
    """
    ranges = (target for target, via in network.routes if not via)
    for text, hint in lint.overlapping(ranges, around.read(machine.run, network.interface)):
        message = f"network {network.id}: {text}"
        if refuse:
            raise ZtgateError(message, hint)
        machine.warn(f"{message}: {hint}")


def announced(machine: Machine, identifier: str, routes: tuple[str, ...]) -> None:
    """See the published default routes come back from the controller; a warning if they do not."""

    def arrived() -> None:
        missing = standing.unannounced(machine.service.network(identifier), routes)
        if missing:
            raise WaitingError(f"not among the network's routes: {' and '.join(missing)}")

    try:
        # What was published just now takes a moment; what was before has had its time.
        machine.wait(arrived, PATIENCE if machine.controller else 0.0)
    except WaitingError as reason:
        machine.warn(f"{reason.message}; `{standing.REGISTER}` publishes it again")


def _own(network: Network) -> list[Interface]:
    """The addresses that the service has put on its interface; a /0 is none."""
    every: tuple[Interface, ...] = (*network.addresses4, *network.addresses6)
    return [own for own in every if own.network.prefixlen > 0]


def _read(machine: Machine, interface: str) -> Kernel:
    def rows(*words: str) -> list[dict[str, Any]]:
        text = machine.run(("ip", "-j", *words, "show", "dev", interface))
        found: list[dict[str, Any]] = json.loads(text or "[]")
        return found

    with reading(f"what `ip` says of {interface}"):
        return parse(rows("address"), {4: rows("-4", "route"), 6: rows("-6", "route")})
