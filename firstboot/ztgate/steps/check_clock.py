"""Step: the clock is good enough for TLS. Only when the controller has to be asked."""

from __future__ import annotations

from ..errors import WaitingError
from ..facts import time
from ..machine import Machine


def run(machine: Machine) -> None:
    """WaitingError while the clock cannot be trusted."""
    usable, reason = time.read(machine.paths).verdict
    if not usable:
        raise WaitingError(reason, "timedatectl timesync-status shows the time server")
