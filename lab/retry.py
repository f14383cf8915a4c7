"""The only wait loop of the lab."""

import time
from collections.abc import Callable
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")


class NotYet(Exception):
    """What a check raises while the thing that it waits for is not there; its text is the reason."""


def retry(check: Callable[[], T], timeout: float, what: str, pause: float = 0.3) -> T:
    """Call ``check`` until it returns without raising NotYet or LabError, for at most ``timeout`` seconds.

    Raises:
        LabError: the time is up; it names ``what`` was waited for and the last reason.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return check()
        except (NotYet, LabError) as reason:
            if time.monotonic() > deadline:
                raise LabError(f"{what}: not within {timeout:.0f} s: {reason}") from None
        time.sleep(pause)
