"""Time, and the one loop that waits."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from . import alive
from .errors import WaitingError

T = TypeVar("T")
QUIET = 3.0  # seconds before a wait is worth a word


class Clock(Protocol):
    """What waiting needs of time; tests bring their own."""

    def now(self) -> float:
        """Seconds since boot, suspended time included."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Seconds since boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Really sleep."""
        for slice_ in alive.slices(seconds):
            time.sleep(slice_)


def in_words(seconds: float) -> str:
    """A duration for people: 1 h 30 min, 10 min, 45 s."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s"))
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


class TooSlow(Exception):
    """The time for something is up."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """TooSlow in the middle of whatever takes longer. Real seconds; only in the main thread.

    A socket's timeout is one between two reads, so it never comes where bytes drip.
    """

    end = time.monotonic() + seconds

    def ring(*_: object) -> None:
        if time.monotonic() >= end:
            raise TooSlow
        alive.sign()
        signal.setitimer(signal.ITIMER_REAL, _next(end))

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _next(end))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _next(end: float) -> float:
    """Seconds until the alarm: in time for a sign of life, and not after the end. 0 would be never."""
    return max(0.001, min(alive.SLICE, end - time.monotonic()))


def pauses(
    first: float, longest: float, jitter: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Growing pauses in seconds, each up to a third shorter or longer than its neighbours' doubling."""
    pause = first
    while True:
        yield min(longest, pause * jitter(0.67, 1.33))
        pause = min(longest, pause * 2)


def until(
    check: Callable[[], T],
    *,
    seconds: float,
    clock: Clock,
    say: Callable[[str], None],
    first: float = 0.3,
    longest: float = 3.0,
) -> T:
    """The first answer of check that is not WaitingError; after `seconds` its last WaitingError passes on.

    The reason goes to say() each time it changes; not at once, as most waits are over in a moment.
    """
    start = clock.now()
    end = start + seconds
    said = ""
    for pause in pauses(first, longest):
        try:
            return check()
        except WaitingError as reason:
            left = end - clock.now()
            if left <= 0:
                raise
            if reason.message != said and clock.now() - start >= QUIET:
                said = reason.message
                say(said)
            clock.sleep(min(pause, left))
    raise AssertionError("pauses() never ends")
