"""Whether an update did harm. Pure: from looks and the time, and from how it was before.

A line that is dead looks much like an update that broke the network, and only the second is to be taken back.
The line is blamed where nothing is wrong on this machine and it was given an address or hears nothing at all.
Where the internet answers and the gateway is not ready, or packets arrive and it gets no address, it is the
update.
"""

from __future__ import annotations

from dataclasses import dataclass

from .book import Before
from .health import Look

GOOD, BAD, LINE, OPEN = "good", "bad", "line", "open"
DEAD = 60.0  # seconds: what is broken on this machine, and was not before, is given up on
PATIENCE = 300.0  # seconds: a gateway that is not ready although it could be


@dataclass(frozen=True)
class Verdict:
    """good, bad, line (it waits for the way out) or open (not known yet), and why."""

    kind: str
    why: str = ""


def opinion(before: Before, look: Look) -> tuple[Verdict, float]:
    """What one look says, and the seconds for which it has to stay so before a bad one counts."""
    worse = [problem for problem in look.problems if problem not in before.problems]
    if worse:
        return Verdict(BAD, worse[0]), DEAD
    if look.ready or not before.ready:
        return Verdict(GOOD), 0.0
    if look.uplink:
        return Verdict(BAD, f"not ready, though the internet answers: {look.reason}"), PATIENCE
    if not look.carrier or not look.heard:
        return Verdict(LINE, "nothing arrives from the WAN's side"), 0.0
    if look.address:
        return Verdict(LINE, "the internet does not answer"), 0.0
    return Verdict(BAD, f"no address, though packets arrive: {look.reason}"), PATIENCE


class Judge:
    """Remembers for how long something has been bad."""

    def __init__(self, before: Before, now: float) -> None:
        """now: seconds since boot, as of what it is asked later."""
        self.before = before
        self._dead = self._bad = now

    def verdict(self, look: Look, now: float) -> Verdict:
        """All looks so far."""
        found, limit = opinion(self.before, look)
        if found.kind != BAD:
            self._dead = self._bad = now
            return found
        if limit != DEAD:
            self._dead = now
        began = self._dead if limit == DEAD else self._bad
        # Services that take turns in failing are no better than one that fails.
        if now - began >= limit or now - self._bad >= PATIENCE:
            return found
        return Verdict(OPEN, found.why)
