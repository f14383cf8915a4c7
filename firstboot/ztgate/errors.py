"""The two ways in which a run of ztgate ends early."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from .secret import hidden

log = logging.getLogger("ztgate")


class ZtgateError(Exception):
    """A definite failure: what is wrong, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WaitingError(ZtgateError):
    """Something that may pass by itself: the reason is shown and the run begins again."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Around what takes an answer of the system apart: one of another shape is waited out, in words."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise WaitingError(f"{what} cannot be understood", "is it what the image came with?") from None


def in_words(error: Exception) -> ZtgateError:
    """Whatever ended something early, as an error for people."""
    if isinstance(error, ZtgateError):
        return error
    if isinstance(error, OSError):
        return ZtgateError(f"{error.filename or 'system'}: {error.strerror}", "df -h; dmesg")
    # What it says was written by somebody else, who may have looked at the token.
    log.error("this should not have happened\n%s", hidden("".join(traceback.format_exception(error))))
    what = hidden(f"{type(error).__name__}: {error}")
    return ZtgateError(f"unexpected: {what}", "journalctl -u ztgate shows where")
