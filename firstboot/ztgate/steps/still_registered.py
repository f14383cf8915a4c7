"""Step: the controller still has what it was told, as far as it can be seen from here without asking it."""

from __future__ import annotations

import json
import logging
from ipaddress import IPv4Address
from pathlib import Path

from .. import standing, store
from ..config import Config
from ..errors import ZtgateError
from ..machine import Machine
from ..state import State

log = logging.getLogger("ztgate")
# Seconds before a controller is asked again that saw nothing wrong with what this machine misses.
LATELY = 600.0


def run(machine: Machine, config: Config, state: State) -> tuple[str, ...]:
    """What has fallen, if there is a token to have it put up again and the controller was not asked lately.

    Raises:
        ZtgateError: members cannot use this gateway, and there is no token, or no network.
    """
    seen = machine.service.network(config.network)
    lost = standing.lost(seen, IPv4Address(state.address))
    token = config.controller.token
    if lost and (not token or (seen and seen.status == standing.DELETED)):
        raise ZtgateError(*lost)
    fallen = (*((lost[0],) if lost else ()), *standing.unannounced(seen, state.routes))
    if not fallen or not token or _asked_lately(machine, fallen):
        return ()
    log.info("%s", "; ".join(fallen))
    return fallen


def note(machine: Machine, fallen: tuple[str, ...]) -> None:
    """The controller was asked: if that did not help, asking again every ten seconds would not either."""
    if fallen and not machine.dry_run:
        store.write(_mark(machine), json.dumps({"fallen": fallen, "time": machine.clock.now()}).encode())


def _asked_lately(machine: Machine, fallen: tuple[str, ...]) -> bool:
    asked = store.read_json(_mark(machine))
    return asked.get("fallen") == list(fallen) and machine.clock.now() - float(asked["time"]) < LATELY


def _mark(machine: Machine) -> Path:
    return machine.paths.run_dir / "asked-again"
