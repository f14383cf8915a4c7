"""Step: updates are installed in the quiet hour, if they are wanted."""

from __future__ import annotations

from .. import store
from ..actions import Action, Command, Remove, WriteFile
from ..config import Updates
from ..machine import Machine
from ..paths import Paths

TIMER = "ztgate-update.timer"
_DROP_IN = """\
# Written by ztgate. Local time; the timer adds a delay by chance.
[Timer]
OnCalendar=*-*-* {hour:02}:00:00
"""


def plan(settings: Updates, now: str | None, paths: Paths) -> list[Action]:
    """now: the drop-in's text."""
    if not settings.wanted:
        why = "no updates are wanted"
        return [Command(("systemctl", "stop", TIMER), why), Remove(paths.update_timer, why)] if now else []
    text = _DROP_IN.format(hour=settings.hour)
    if text == now:
        return []
    why = "updates in the quiet hour"
    # At first systemd has not read this unit, and a reload takes a small machine a second.
    reload = [Command(("systemctl", "daemon-reload"), why)] if now else []
    start = Command(("systemctl", "--no-block", "restart", TIMER), why)
    return [WriteFile(paths.update_timer, text.encode(), why), *reload, start]


def run(machine: Machine, settings: Updates) -> None:
    """Bring the timer in line."""
    machine.do(plan(settings, store.read_text(machine.paths.update_timer), machine.paths))
