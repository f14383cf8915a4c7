"""Slips of editors, phones and fingers: what is wrong with a line although YAML may well read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Slip = tuple[str, str]  # what is wrong, what to do
NO_BREAK = "\u00a0\u2007\u202f"
HIDDEN = NO_BREAK + "\u00ad\u200b\u200e\u200f\u2060\u3000\ufeff"
QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"

TAB: Slip = ("indented with a tab", "YAML wants spaces: replace each tab by two")
QUOTED: Slip = ("typographic quotes, as word processors and phones make them", 'type straight quotes: "')
# Not compiled here: that takes a slow board its time, and is seldom needed.
_QUOTE = rf"(?:^|[\s:,{{\[])[{QUOTES}]|[{QUOTES}](?:$|[\s,}}\]])"
_WORD = re.compile(r"([A-Za-z0-9-]+)(:\S|\s*=|\s+[^\s:])")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def in_key(text: str, schema: dict[str, Any]) -> Slip | None:
    """What is wrong with a key that YAML has read."""
    if text and text[0] in HIDDEN:
        return _hidden(text[0], "indented with")
    return in_value(text) or (in_words(text, schema) if ":" in text else None)


def in_value(text: str, *, quoted: bool = False) -> Slip | None:
    """What is wrong with a value that YAML has read; what is within straight quotes is meant."""
    ends = text[:1] + text[-1:]
    if found := _first_hidden(ends if quoted else text):
        return _hidden(found, "there is")
    return QUOTED if not quoted and any(end in QUOTES for end in ends) else None


def in_words(text: str, schema: dict[str, Any]) -> Slip | None:
    """What is wrong with a text that should have been a key and its value."""
    word = _WORD.match(text)
    if not word or word[1] not in names(schema):
        return None
    key, what = word[1], "no space after the colon of" if word[2][0] == ":" else "no colon after"
    return f"{what} `{key}`", f"write `{key}: `, then the value"


def in_line(line: str, schema: dict[str, Any]) -> Slip | None:
    """What is wrong with a line that YAML stumbled over, or with the one before it."""
    body = line.lstrip(" \t" + HIDDEN)
    before = line[: len(line) - len(body)]
    body = _COMMENT.sub("", body)
    if not body:
        return None
    if "\t" in before:
        return TAB
    if found := _first_hidden(before):
        return _hidden(found, "indented with")
    if found := _first_hidden(body):
        return _hidden(found, "there is")
    if re.search(_QUOTE, body):
        return QUOTED
    return in_words(body, schema)


def near(lines: list[str], number: int, schema: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    """The slips in line `number` (from 1) and in those right before it, as problems."""
    for at in range(min(number, len(lines)), 0, -1):
        slip = in_line(lines[at - 1], schema)
        if slip:
            yield (at, *slip)
        elif at != number and _COMMENT.sub("", lines[at - 1]).strip():
            return


def names(schema: dict[str, Any]) -> set[str]:
    """Every key of the schema."""
    below: dict[str, Any] = schema.get("properties", {})
    return set(below).union(*(names(part) for part in below.values()))


def _first_hidden(text: str) -> str:
    return "" if text.isascii() else next((letter for letter in text if letter in HIDDEN), "")


def _hidden(character: str, how: str) -> Slip:
    code = f"(U+{ord(character):04X})"
    if character in NO_BREAK:
        return f"{how} a non-breaking space {code}", "delete it and type plain spaces"
    return f"{how} an invisible character {code}", "delete this word and type it anew"
