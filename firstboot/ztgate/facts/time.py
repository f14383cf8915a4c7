"""Whether the clock can be trusted: TLS fails with a wrong one, and a Raspberry Pi has none."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..paths import Paths


@dataclass(frozen=True)
class Time:
    """What is known about the clock; times in seconds since 1970."""

    synchronized: bool
    rtc: bool
    now: float
    built: float

    @property
    def verdict(self) -> tuple[bool, str]:
        """Whether it is usable, and why."""
        if self.synchronized:
            return True, "the clock is synchronized by NTP"
        if not self.rtc:
            return False, "the clock is not set yet: waiting for a time server"
        if self.now < self.built:
            return False, "the hardware clock is behind the image's own date: waiting for a time server"
        return True, "the hardware clock is later than the image's date"

    @property
    def doubt(self) -> str:
        """Why even a usable clock may be wrong; "" when a time server has set it."""
        return "" if self.synchronized else f"it says {time.ctime(self.now)}, and no time server has set it"


def read(paths: Paths) -> Time:
    """The clock as it is now."""
    stamps = [path.stat().st_mtime for path in paths.build_stamps if path.exists()]
    return Time(
        synchronized=paths.synchronized.exists(),
        rtc=paths.rtc.exists(),
        now=time.time(),
        built=max(stamps, default=0.0),
    )
