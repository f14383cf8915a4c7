"""The two ways in which a run of ztgate ends early."""

from __future__ import annotations


class ZtgateError(Exception):
    """A definite failure: what is wrong, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WaitingError(ZtgateError):
    """Something that may pass by itself: the reason is shown and the run begins again."""
