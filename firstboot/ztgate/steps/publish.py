"""Step: members' default routes go through this gateway."""

from __future__ import annotations

from .. import amend, register
from ..errors import WaitingError
from ..machine import Machine
from ..register import Target

# Seconds after the gateway itself saw a route go. Members are told one after the other and cannot be asked;
# 1.8 s was measured. One that sees both changes at once keeps the old next hop for good.
SETTLE = 3.0
PATIENCE = 40.0  # seconds for a withdrawn route to reach this member, and so the others


def run(machine: Machine, vias: dict[Target, str]) -> None:
    """Default routes by next hop ("" withdraws one): first away with the wrong ones, then add the missing."""
    before = machine.require_controller().network(machine.network_id).settings
    if register.plan_withdrawal(before, vias):
        after = amend.network(
            machine, lambda now: register.plan_withdrawal(now, vias), "withdraw a default route"
        )
        wait_until_gone(machine, [target for target in vias if not register.has_route(after, target)])
    wanted = {target: via for target, via in vias.items() if via}
    amend.network(machine, lambda now: register.plan_default_routes(now, wanted), "members' default routes")


def wait_until_gone(machine: Machine, targets: list[Target]) -> None:
    """Adding a new next hop before members saw the old one go would leave them with the old one."""
    if machine.dry_run:
        return
    names = {str(target) for target in targets}

    def check() -> None:
        current = machine.service.network(machine.network_id)
        if current and any(target in names for target, _ in current.routes):
            raise WaitingError("the old default route is still with the members")

    machine.wait(check, PATIENCE)
    machine.clock.sleep(SETTLE)
