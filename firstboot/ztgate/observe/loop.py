"""The loop: facts every few seconds, the doctor once a minute, for as long as systemd wants them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from .. import store
from ..alive import tell_systemd
from ..doctor import chain
from ..machine import Machine
from ..page import facts as page
from ..page.facts import Examination, Facts, Verdict
from . import gather, hand_out

FIRST, PAUSE = 1.0, 10.0  # seconds from one look to the next
BETWEEN = 60.0  # seconds from one end of the doctor's examination to its next beginning


def run(machine: Machine, now: Callable[[], float] = time.time) -> None:
    """Look on and on. It is said to be ready when there are facts with rates: the page waits for that."""
    before = look(machine, None, now())
    # Not at once: on a slow machine the page's server is just starting, and the doctor would see it too busy.
    pause, due = FIRST, machine.clock.now() + 2 * PAUSE
    while True:
        machine.clock.sleep(pause)
        before = look(machine, before, now())
        if pause == FIRST:
            tell_systemd("READY=1")
            pause = PAUSE
        if machine.clock.now() >= due:
            examine(machine, now)
            due = machine.clock.now() + BETWEEN


def look(machine: Machine, before: Facts | None, now: float) -> Facts:
    """Write down the facts, and what is handed out; with the facts of an earlier look there are rates."""
    seen = with_rates(gather.facts(machine, now), before)
    store.write(machine.paths.page_dir / page.FACTS, page.dump(seen))
    hand_out.write(machine)
    store.write(machine.paths.page_dir / page.ZEROTIER, gather.zerotier_metrics(machine).encode())
    return seen


def examine(machine: Machine, now: Callable[[], float]) -> None:
    """Write down the doctor's verdicts."""
    verdicts = (Verdict(v.name, v.ok, v.evidence, v.next_step) for v in chain.examine(machine))
    said = tuple(verdicts)
    store.write(machine.paths.page_dir / page.DOCTOR, page.dump(Examination(now(), said)))


def with_rates(seen: Facts, before: Facts | None) -> Facts:
    """Bytes a second since an earlier look; none if the interface was made again meanwhile."""
    if before is None or "members" not in seen.interfaces or "members" not in before.interfaces:
        return seen
    seconds = seen.at - before.at
    up, down = (
        new - old for new, old in zip(seen.interfaces["members"], before.interfaces["members"], strict=True)
    )
    if seconds <= 0 or up < 0 or down < 0:
        return seen
    return replace(seen, up=up / seconds, down=down / seconds)
