"""Step: what only people can do at the controller (controller.kind: none), and whether they have done it.

Nothing is written: the list of what is missing goes to the status, and the next look is some seconds away.
"""

from __future__ import annotations

from .. import by_hand, register
from ..by_hand import Want
from ..errors import WaitingError
from ..machine import Machine
from ..state import State
from ..zerotier import Network

# Seconds for the controller's first answer: a node that is authorized already was in after 1 to 10.
PATIENCE = 15.0


def for_address(machine: Machine, want: Want, state: State) -> State:
    """The state with the address and the /80 that people gave; WaitingError until there is an address."""
    seen = machine.wait(lambda: _answered(machine, want), 0.0 if state.address else PATIENCE)
    if want.address and seen and seen.lan4:
        register.check_address(want.address, list(seen.lan4), {})
    own = by_hand.address(want, seen) if seen and seen.status == "OK" else None
    if seen is None or own is None:
        raise WaitingError(machine.todo[0].short)
    nat66 = {"nat66": True} if want.nat66 and by_hand.has_rfc4193(want, seen) else {}
    return state.but(
        address=str(own),
        subnet=subnet_now(want, seen, state.subnet),
        registered={**state.registered, **nat66},
    )


def _answered(machine: Machine, want: Want) -> Network | None:
    """The network, once its controller has said anything: until then nobody knows what is missing."""
    seen = machine.service.network(want.network)
    machine.todo = by_hand.missing(want, seen)
    if seen and seen.status == "REQUESTING_CONFIGURATION":
        raise WaitingError("the network's controller has not answered yet")
    return seen


def for_routes(machine: Machine, want: Want, state: State) -> State:
    """The state with the default routes that lead here; WaitingError while one is missing that must be."""
    seen = machine.service.network(want.network)
    machine.todo = by_hand.missing(want, seen)
    needed = [item.short for item in machine.todo if item.needed]
    if seen is None or needed:
        raise WaitingError(needed[0] if needed else f"network {want.network} is gone")
    return state.but(routes=by_hand.default_routes(want, seen))


def for_withdrawal(machine: Machine, want: Want) -> None:
    """WaitingError as long as members are sent here."""
    seen = machine.service.network(want.network)
    machine.todo = by_hand.to_withdraw(want, seen)
    needed = [item.short for item in machine.todo if item.needed]
    if needed:
        raise WaitingError(needed[0], "then once more: ztgate withdraw")


def subnet_now(want: Want, seen: Network, before: str) -> str:
    """Members' /80 once it works; until then the one before, as long as the network still has it."""
    if by_hand.has_subnet(want, seen):
        return str(want.subnet)
    return before if any(target == before for target, via in seen.routes if not via) else ""
