"""What was at the controller before ztgate came, so that `ztgate withdraw` can bring it back.

Every change is noted before it is written. One that was noted and never arrived (a power cut) does no harm:
undoing looks at what is there, and takes back only what is as ztgate wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

from . import store
from .controllers.base import NO_DNS
from .paths import Paths

Settings = dict[str, Any]
LISTS = ("routes", "ipAssignmentPools")


@dataclass(frozen=True)
class Ledger:
    """A network's changes.

    added: rows of ours by key. removed: rows of somebody else's that made way, as [index, row].
    values: [before, ours] by key, before as it was found (None: not there).
    member: the gateway's own member as it was, {} if there was none, None as long as that was not looked at.
    """

    network: str = ""
    added: dict[str, list[Settings]] = field(default_factory=dict)
    removed: dict[str, list[list[Any]]] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    member: Settings | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take back."""
        return not (any(self.added.values()) or any(self.removed.values()) or self.values or self.member)


def load(paths: Paths, network: str) -> Ledger:
    """The ledger of a network; a new one if that was another's."""
    data = store.read_kept(paths.ledger, store.like(Ledger()))
    known = {key: data[key] for key in Ledger.__dataclass_fields__ if key in data}
    return Ledger(**known) if known.get("network") == network else Ledger(network)


def save(paths: Paths, ledger: Ledger) -> None:
    """Write it durably, if it changed."""
    content = (json.dumps(asdict(ledger), indent=1, sort_keys=True) + "\n").encode()
    store.write_kept(paths.ledger, content, 0o600)


def note(ledger: Ledger, before: Settings, changes: Settings) -> Ledger:
    """The ledger with a change of the network that is about to be written."""
    added, removed, values = deepcopy(ledger.added), deepcopy(ledger.removed), deepcopy(ledger.values)
    for key, wanted in changes.items():
        if key not in LISTS:
            found = before.get(key)
            if key == "dns" and _alike(found, NO_DNS):
                found = NO_DNS
            first = values[key][0] if key in values else found
            values[key] = [first, wanted]
            continue
        old = list(before.get(key) or [])
        ours, theirs = added.setdefault(key, []), removed.setdefault(key, [])
        came = _without(wanted, old)
        gone = _without(old, wanted)
        theirs[:] = [entry for entry in theirs if not _has(came, entry[1])]
        theirs += [[old.index(row), row] for row in gone if not _has(ours, row)]
        ours[:] = [*_without(ours, gone), *(row for row in came if not _has(ours, row))]
    return replace(ledger, added=added, removed=removed, values=values)


def note_member(ledger: Ledger, before: Settings | None) -> Ledger:
    """The ledger with the gateway's own member as it was at first."""
    return ledger if ledger.member is not None else replace(ledger, member=before or {})


def plan_removal(ledger: Ledger, settings: Settings) -> Settings:
    """First half of undoing: our rows go, and values that are still ours become what they were."""
    changes: Settings = {}
    for key in LISTS:
        now = list(settings.get(key) or [])
        kept = _without(now, ledger.added.get(key, []))
        if kept != now:
            changes[key] = kept
    for key, (before, ours) in ledger.values.items():
        if before is not None and _alike(settings.get(key), ours) and not _alike(before, ours):
            changes[key] = before
    return changes


def plan_return(ledger: Ledger, settings: Settings) -> Settings:
    """Second half, once members have seen the first: what made way comes back to its place."""
    changes: Settings = {}
    for key in LISTS:
        rows = list(settings.get(key) or [])
        for index, row in sorted(ledger.removed.get(key, []), key=lambda entry: int(entry[0])):
            if not any(_target(row) == _target(other) for other in rows):
                rows.insert(min(int(index), len(rows)), row)
        if rows != list(settings.get(key) or []):
            changes[key] = rows
    return changes


def ranges(ledger: Ledger) -> list[Any]:
    """The networks that came with us: addresses of these go with us."""
    return [
        ip_network(row["target"], strict=False)
        for row in ledger.added.get("routes", [])
        if not row.get("via")
    ]


def _alike(one: Any, other: Any) -> bool:
    """Whether two values say the same: a switch that is not there is off, and what is empty is not there."""
    if isinstance(one, dict) or isinstance(other, dict):
        one, other = one or {}, other or {}
        return all((one.get(key) or None) == (other.get(key) or None) for key in {*one, *other})
    return bool(one == other)


def _without(rows: Iterable[Settings], others: list[Settings]) -> list[Settings]:
    return [row for row in rows if not _has(others, row)]


def _has(rows: Iterable[Settings], row: Settings) -> bool:
    return any(_identity(other) == _identity(row) for other in rows)


def _identity(row: Settings) -> tuple[Any, ...]:
    """What makes a row the same: not how it is spelt, nor what the controller adds to it."""
    if "target" in row:
        return (*_target(row), ip_address(row["via"]) if row.get("via") else None)
    return _target(row)


def _target(row: Settings) -> tuple[Any, ...]:
    if "target" in row:
        return (ip_network(row["target"], strict=False),)
    return (ip_address(row["ipRangeStart"]), ip_address(row["ipRangeEnd"]))
