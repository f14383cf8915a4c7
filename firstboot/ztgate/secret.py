"""Texts that must not be seen: the controller's token, a wireless network's password."""

from __future__ import annotations

SHOWN = "…"
_known: set[str] = set()


class Secret:
    """A text that only reveal() gives out: whoever prints, formats or dumps it gets three dots."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        _known.add(text)

    def reveal(self) -> str:
        """The text itself, for the one place that it is meant for."""
        return self._text

    def __repr__(self) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def hidden(text: str) -> str:
    """What somebody else's exception says, without the secrets that this process has seen."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, SHOWN)
    return text


def printable(text: str) -> str:
    """Somebody else's words, fit for a console; some repeat what they were sent."""
    return "".join(letter for letter in hidden(text) if letter.isprintable())
