"""systemd's watchdog: it kills and starts ztgate again when that has hung (WatchdogSec of ztgate.service).

It hears from the main thread only, and only where that gets on: before and after each tool, in slices of
a wait, and in what has a limit of its own, until that is reached. A round has a limit, too, so one that goes
round in circles is ended like one that stands still.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

# Seconds. What blocks without a word may take this long: longer than a slice, ZeroTier's answer and a slow
# card's fsync, and short enough to be well again within half a minute.
SILENCE = 20.0
SLICE = 5.0
# The waits of a first boot, one after the other, on a controller that has trouble, take a quarter of an hour.
ROUND = 3600.0


class _Round:
    """When the round that is at work is to be over, and whether systemd knows how long silence may last."""

    end = float("inf")
    told = False


def begin() -> None:
    """A round begins."""
    _Round.end = time.monotonic() + ROUND
    sign()


def sign() -> None:
    """A sign of life, if this is a service that is watched."""
    watched = os.environ.get("WATCHDOG_PID") == str(os.getpid())
    if not watched or threading.current_thread() is not threading.main_thread():
        return
    if time.monotonic() < _Round.end:
        tell_systemd("WATCHDOG=1" if _Round.told else f"WATCHDOG_USEC={SILENCE * 1e6:.0f}\nWATCHDOG=1")
        _Round.told = True


def slices(seconds: float) -> Iterator[float]:
    """A wait in pieces, with a sign of life before each."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sign()
        yield min(SLICE, left)
    sign()


def tell_systemd(message: str) -> None:
    """sd_notify(3)."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.sendto(message.encode(), f"\0{name[1:]}" if name.startswith("@") else name)
