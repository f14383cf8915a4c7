"""Kernel variables: read, compare, plan. Keys have slashes, as an interface's name may hold a dot."""

from __future__ import annotations

from . import store
from .actions import Action, SetSysctl
from .paths import Paths

Values = dict[str, str | None]


def read(paths: Paths, keys: list[str]) -> Values:
    """The values now; None for a key that the kernel does not have."""
    texts = {key: store.read_text(paths.sysctl / key) for key in keys}
    return {key: None if text is None else text.strip() for key, text in texts.items()}


def plan(wanted: dict[str, str], values: Values, why: str) -> list[Action]:
    """Only what differs and is there."""
    return [SetSysctl(k, v, why) for k, v in wanted.items() if values.get(k) not in (None, v)]
