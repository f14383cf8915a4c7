"""Step: members' default routes go through this gateway."""

from __future__ import annotations

from .. import register
from ..actions import WriteNetwork
from ..controllers.base import Controller
from ..errors import WaitingError, ZtgateError
from ..machine import Machine
from ..register import Target

# Seconds after the gateway itself saw a route go. Members are told one after the other and cannot be asked;
# 1.8 s was measured. One that sees both changes at once keeps the old next hop for good.
SETTLE = 3.0
PATIENCE = 40.0  # seconds for a withdrawn route to reach this member, and so the others


def run(machine: Machine, network: str, vias: dict[Target, str]) -> None:
    """Default routes by next hop ("" withdraws one): first away with the wrong ones, then add the missing."""
    if machine.controller is None:
        raise ZtgateError("no controller was opened", "this is a bug in ztgate")
    settings = machine.controller.network(network).settings
    away = register.plan_withdrawal(settings, vias)
    if away:
        settings = _write(machine, machine.controller, network, settings, away, "withdraw a default route")
        gone = [target for target in vias if not register.has_route(settings, target)]
        _wait_until_gone(machine, network, gone)
    wanted = {target: via for target, via in vias.items() if via}
    missing = register.plan_default_routes(settings, wanted)
    if missing:
        _write(machine, machine.controller, network, settings, missing, "members' default routes")


def _write(
    machine: Machine,
    controller: Controller,
    network: str,
    before: register.Settings,
    changes: register.Settings,
    why: str,
) -> register.Settings:
    machine.do([WriteNetwork(changes, why)])
    if machine.dry_run:
        return {**before, **changes}
    after = controller.network(network).settings
    if register.not_taken_over(changes, after):
        raise ZtgateError(
            "the controller did not keep the routes that were written",
            "somebody else may be changing the network at the same time; ztgate tries again",
        )
    return after


def _wait_until_gone(machine: Machine, network: str, targets: list[Target]) -> None:
    """Adding the new next hop before members saw the old one go would leave them with the old one."""
    if machine.dry_run:
        return
    names = {str(target) for target in targets}

    def check() -> None:
        current = machine.service.network(network)
        if current and any(target in names for target, _ in current.routes):
            raise WaitingError("the old default route is still with the members")

    machine.wait(check, PATIENCE)
    machine.clock.sleep(SETTLE)
