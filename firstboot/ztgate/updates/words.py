"""What people are told of updates. Nothing is imported here that the page's server would have to load."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

MOST = 6  # packages in a sentence
PHASES = {
    "installing": "being installed",
    "checking": "installed, and not proved yet",
    "undoing": "being taken back",
}


def lines(updates: Mapping[str, Any]) -> list[str]:
    """Sentences for `ztgate status`: from book.shown()."""
    found = []
    if pending := updates.get("pending"):
        found.append(f"{PHASES.get(pending['phase'], pending['phase'])}: {few(pending['changes'])}")
    if last := updates.get("last"):
        found.append(f"last {when(last['at'])}: {few(last['changes'])}")
    return [*found, *warnings(updates)]


def warnings(updates: Mapping[str, Any]) -> list[str]:
    """Those of them that people should do something about, or at least know."""
    found = []
    if back := updates.get("taken_back"):
        found.append(f"taken back {when(back['at'])}: {few(back['changes'])}: {back['why']}")
    if held := updates.get("held"):
        names = few([f"{name} {version}" for name, version in held.items()])
        found.append(f"held until there is a newer one: {names} (`ztgate update --retry` tries it again)")
    if suspects := updates.get("suspects"):
        names = few([f"{name} {version}" for name, version in suspects.items()])
        found.append(f"to be tried one by one: {names}")
    if waiting := updates.get("waiting"):
        found.append(f"a kernel waits for somebody to install it: {few(waiting)}")
    if problem := updates.get("problem"):
        found.append(f"not all could be looked for or installed: {problem}")
    return found


def few(names: list[str]) -> str:
    """The first of many."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")


def when(at: float) -> str:
    """A time for people, in the machine's own zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
