"""Changes at the controller: planned on what is there now, noted in the ledger, written, read back.

No controller has a way to write only if nothing has changed in the meantime. So each plan is made on what was
read just before, and what does not read back as written is planned and written once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from . import ledger, register
from .actions import WriteMember, WriteNetwork
from .controllers.base import Member, Network
from .errors import ZtgateError
from .machine import Machine
from .register import Settings

log = logging.getLogger("ztgate")
ATTEMPTS = 4


def network(
    machine: Machine, plan: Callable[[Settings], Settings], why: str, *, keep: bool = True
) -> Settings:
    """Bring the network in line with a plan; its settings afterwards.

    keep=False is for undoing, which leaves the ledger as it is.

    Raises:
        ZtgateError: it did not stay as written, several times in a row.
    """
    controller = machine.require_controller()
    for _ in range(ATTEMPTS):
        before = controller.network(machine.network_id)
        changes = plan(before.settings)
        if not changes:
            return before.settings
        if keep and not machine.dry_run:
            noted = ledger.note(ledger.load(machine.paths, machine.network_id), before.settings, changes)
            ledger.save(machine.paths, noted)
        machine.do([WriteNetwork(changes, why)])
        if machine.dry_run:
            return {**before.settings, **changes}
        after = controller.network(machine.network_id)
        _look_for_others(machine, before, after)
        lost = register.not_taken_over(changes, after.settings)
        if not lost:
            return after.settings
        log.warning("%s did not stay as written: once more", ", ".join(lost))
    raise _contended(lost)


def _look_for_others(machine: Machine, before: Network, after: Network) -> None:
    """A controller that counts its writes tells whether there was one between our reading and writing."""
    if before.revision is None or after.revision is None or after.revision <= before.revision + 1:
        return
    machine.warn(
        "somebody else changed the network in the same moment as this gateway: look whether it is all there"
    )


def member(machine: Machine, node: str, plan: Callable[[Member | None], Settings], why: str) -> Member | None:
    """Bring a member in line with a plan; the member afterwards. Errors as for network()."""
    controller = machine.require_controller()
    for _ in range(ATTEMPTS):
        before = controller.member(machine.network_id, node)
        changes = plan(before)
        if not changes:
            return before
        machine.do([WriteMember(node, changes, why)])
        if machine.dry_run:
            return before
        after = controller.member(machine.network_id, node)
        found = {**after.settings, "name": after.name} if after else {}
        lost = register.not_taken_over(changes, found)
        if not lost:
            return after
    raise _contended(lost)


def _contended(keys: list[str]) -> ZtgateError:
    return ZtgateError(
        f"the controller did not keep what was written: {', '.join(keys)}",
        "somebody else may be changing the network at the same time; ztgate tries again",
    )
