"""What was put right since the boot, and how often: by ztgate, by ztgate-watch, and by systemd.

Each kind is a file with a number (overlays/common/usr/libexec/ztgate-healed counts there, too).
"""

from __future__ import annotations

from typing import Any

from . import store
from .paths import Paths


def count(paths: Paths, name: str) -> None:
    """One more of a kind."""
    path = paths.healed / name
    store.write(path, str(_number(store.read_text(path)) + 1).encode())


def read(paths: Paths) -> dict[str, int]:
    """How often, by kind."""
    files = sorted(paths.healed.glob("[a-z]*")) if paths.healed.is_dir() else []
    return {path.name: _number(store.read_text(path)) for path in files}


def shown(paths: Paths) -> dict[str, Any]:
    """As a part of the status."""
    found = read(paths)
    return {"healed": found} if found else {}


def _number(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if text.isdigit() else 0
