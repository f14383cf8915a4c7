"""Who has answered on a network, as the kernel remembers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Rows = list[dict[str, Any]]


def answered(rows: Iterable[dict[str, Any]]) -> Rows:
    """Of rows of `ip -j neigh`, those that have a MAC address and do not stand for a failure."""
    found = (row for row in rows if isinstance(row, dict))
    return [row for row in found if row.get("lladdr") and "FAILED" not in (row.get("state") or [])]
