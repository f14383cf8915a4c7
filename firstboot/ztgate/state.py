"""What ztgate remembers over reboots, so that nothing has to be asked or written twice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import store
from .paths import Paths


@dataclass(frozen=True)
class State:
    """registered: what the controller was last told. routes: default routes that are published.

    written: SHA-256 of ZeroTier's files as we wrote them (it rewrites some of them itself).
    situation: what the firewall was made for. warnings: what the controller's data gave cause for.
    way: how members' IPv6 leaves, see members_subnet.py.
    dns: what the network's DNS setting was last made to be, "" for nothing of ours.
    withdrawn: the network that `ztgate withdraw` left, and that only `ztgate register` takes up again.
    """

    registered: dict[str, Any] = field(default_factory=dict)
    address: str = ""
    subnet: str = ""
    routes: tuple[str, ...] = ()
    token: str = ""
    written: dict[str, str] = field(default_factory=dict)
    situation: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    way: str = ""
    dns: str = ""
    withdrawn: str = ""

    def but(self, **changes: Any) -> State:
        """A copy with changes."""
        return replace(self, **changes)


def load(paths: Paths) -> State:
    """The state of the last run; a fresh one when there is none."""
    data = store.read_kept(paths.state, store.like(State()))
    known = {key: data[key] for key in State.__dataclass_fields__ if key in data}
    for key in ("routes", "warnings"):  # JSON has no tuples
        known[key] = tuple(known.get(key, ()))
    return State(**known)


def save(paths: Paths, state: State) -> None:
    """Write it durably, if it changed."""
    content = (json.dumps(asdict(state), indent=1, sort_keys=True) + "\n").encode()
    store.write_kept(paths.state, content, 0o600)
