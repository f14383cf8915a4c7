"""What is known of updates over reboots and power cuts: the one under way, and what became of others."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import store
from ..paths import Paths

# The packages are being changed; they are, and the gateway is looked at; they are being changed back.
INSTALLING, CHECKING, UNDOING = "installing", "checking", "undoing"


@dataclass(frozen=True)
class Change:
    """A package that changes. old is "" for one that was not there."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name} {self.old} to {self.new}" if self.old else f"{self.name} {self.new}"


@dataclass(frozen=True)
class Before:
    """How the gateway was before: an update answers for what is worse afterwards, and for nothing else.

    units: those that ran. problems: in the words of health.py. node: its ZeroTier address.
    """

    ready: bool = False
    units: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    node: str = ""


@dataclass(frozen=True)
class Pending:
    """An update that is under way. at: seconds since 1970. kernel: the one that ran when it began.

    boot: the kernel's id of the boot in which it was installed. why: what it is taken back for.
    returning: the machine was started anew once, for the kernel from before.
    """

    phase: str
    at: float
    kernel: str
    boot: str
    changes: tuple[Change, ...] = ()
    before: Before = field(default_factory=Before)
    why: str = ""
    returning: bool = False

    def now(self, phase: str, why: str = "") -> Pending:
        """The same in another phase."""
        return replace(self, phase=phase, why=why)


@dataclass(frozen=True)
class History:
    """What became of updates. held: by package, the version that is not to come back.

    suspects: the same of versions that were taken back together, and are tried one by one.
    last, taken_back: `at` (seconds since 1970), `changes` in words, and `why` it was taken back.
    waiting: kernels that somebody has to install by hand. problem: what was in the way last time.
    """

    last: dict[str, Any] = field(default_factory=dict)
    taken_back: dict[str, Any] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    suspects: dict[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    problem: str = ""
    looked: float = 0.0


def pending(paths: Paths) -> Pending | None:
    """The update that is under way, if there is one."""
    data = store.read_json(paths.update_pending)
    try:
        return Pending(
            phase=str(data["phase"]),
            at=float(data["at"]),
            kernel=str(data["kernel"]),
            boot=str(data["boot"]),
            changes=tuple(Change(*map(str, row.values())) for row in data["changes"]),
            before=_before(data["before"]),
            why=str(data["why"]),
            returning=bool(data["returning"]),
        )
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _before(data: dict[str, Any]) -> Before:
    units, problems = (tuple(map(str, data[key])) for key in ("units", "problems"))
    return Before(bool(data["ready"]), units, problems, str(data["node"]))


def begin(paths: Paths, what: Pending) -> None:
    """Note how far it is, durably."""
    store.write(paths.update_pending, _text(what), 0o600)


def end(paths: Paths) -> None:
    """There is none under way any more. Packages that were kept for it go."""
    import shutil  # slow to import, and seldom needed

    if paths.update_pending.exists():
        store.remove(paths.update_pending)
    paths.update_undone.unlink(missing_ok=True)
    shutil.rmtree(paths.update_old, ignore_errors=True)


def history(paths: Paths) -> History:
    """What became of updates; nothing where that is damaged."""
    data = store.read_kept(paths.update_history, store.like(History()))
    known = {key: data[key] for key in History.__dataclass_fields__ if key in data}
    return History(**known | {"waiting": tuple(known.get("waiting", ()))})


def note(paths: Paths, what: History) -> None:
    """Keep it."""
    store.write_kept(paths.update_history, _text(what), 0o644)


def shown(paths: Paths) -> dict[str, Any]:
    """As a part of the status; words.py makes sentences of it."""
    known, current = history(paths), pending(paths)
    found = {key: value for key, value in asdict(known).items() if value}
    if current:
        found["pending"] = {"phase": current.phase, "changes": [str(change) for change in current.changes]}
    return {"updates": found} if found else {}


def _text(what: Pending | History) -> bytes:
    return (json.dumps(asdict(what), indent=1) + "\n").encode()
