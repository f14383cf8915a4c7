"""Step: this machine is in the network, with its addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network

from .. import standing
from ..actions import Action, CallService
from ..errors import WaitingError, ZtgateError
from ..machine import Machine
from ..zerotier import Network, in_range

# The gateway follows no default route of the network: it is the default route.
FLAGS = {"allowManaged": True, "allowGlobal": True, "allowDefault": False}
PATIENCE = 90.0  # seconds; nodes that were denied ask again every 5 s or so
_REASONS = {
    "REQUESTING_CONFIGURATION": "the network's controller has not answered yet",
    "ACCESS_DENIED": "the controller has authorized this gateway, but the network does not let it in yet",
    "AUTHENTICATION_REQUIRED": "the network asks for a login in a browser (SSO): exempt this member from it",
}
_FAILURES = {
    "NOT_FOUND": ("its controller knows no network {id}", "check network: in gateway.yaml"),
    "PORT_ERROR": ("ZeroTier could not make its network device", "journalctl -u zerotier-one"),
    "CLIENT_TOO_OLD": ("the controller refuses this version of ZeroTier", "build a newer image"),
}


def plan_leaving(network: str, before: str, joined: bool) -> list[Action]:
    """Leave the network that this was the gateway of, when gateway.yaml names another one now."""
    if not before or before == network or not joined:
        return []
    return [CallService(f"/network/{before}", {}, "leave the network of before", "DELETE")]


def plan(network: str, current: Network | None) -> list[Action]:
    """Join, or correct the flags."""
    if current is None:
        return [CallService(f"/network/{network}", dict(FLAGS), "join the network")]
    flags = (current.allow_managed, current.allow_global, current.allow_default)
    if flags != tuple(FLAGS.values()):
        return [
            CallService(f"/network/{network}", dict(FLAGS), "managed and global addresses, no default route")
        ]
    return []


def refuse_failure(network: str, current: Network | None) -> Network:
    """The network as it is, unless waiting would not help."""
    if current is None:
        # 1.14.1 answers 200 to a join whose tap device could not be made, and then forgets it.
        raise ZtgateError("ZeroTier joined and has no network: no tap device", "journalctl -u zerotier-one")
    if current.status in _FAILURES:
        message, hint = _FAILURES[current.status]
        raise ZtgateError(message.format(id=network), hint)
    return current


def check(network: str, current: Network | None, address: IPv4Address) -> Network:
    """The network once it is up with the gateway's address; otherwise the reason why not."""
    current = refuse_failure(network, current)
    if current.status != "OK":
        raise WaitingError(_REASONS.get(current.status, f"the network's state is {current.status}"))
    if all(own.ip != address for own in current.addresses4) or not standing.holds(current, address):
        raise WaitingError(f"the network is up, but {address} has not arrived yet")
    return current


def leave(machine: Machine, network: str, before: str) -> None:
    """Leave the network of before, if there is one."""
    joined = bool(before) and before != network and machine.service.network(before) is not None
    machine.do(plan_leaving(network, before, joined))


def join(machine: Machine, network: str) -> None:
    """Join, and wait for nobody."""
    machine.do(plan(network, machine.service.network(network)))
    if not machine.dry_run:
        refuse_failure(network, machine.service.network(network))


def run(machine: Machine, network: str, address: IPv4Address) -> Network:
    """Join and wait until it is up."""
    machine.do(plan(network, machine.service.network(network)))
    return machine.wait(lambda: check(network, machine.service.network(network), address), PATIENCE)


def address_in(machine: Machine, network: str, subnet: IPv6Network) -> str:
    """The gateway's own address of members' /80; WaitingError until the controller has assigned it."""
    current = machine.service.network(network)
    own = in_range(current, subnet) if current else ()
    if not own:
        raise WaitingError(f"the controller has not assigned this gateway an address of {subnet} yet")
    return str(own[0].ip)
