"""The one exception that users see."""

import difflib
from collections.abc import Iterable


class BuildError(Exception):
    """Something the user can act on: what is wrong, and what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def nearest(name: str, known: Iterable[str], cutoff: float = 0.4) -> str:
    """For the end of an error about a name that there is none of: `; nearest: x`, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1, cutoff)
    return f"; nearest: {near[0]}" if near else ""


class Unreachable(BuildError):
    """A server does not answer, or has not what was asked for; `answered` tells the latter."""

    def __init__(self, message: str, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered
