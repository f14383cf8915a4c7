"""Which packages a build takes: those of images/IMAGE.lock, of an earlier build, or what Debian has today."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder import lock, resolve
from builder.errors import BuildError
from builder.files import replacing
from builder.inputs import digest
from builder.lock import Lock, Wanted

CACHE = "locks"  # in the cache: what earlier builds took


@dataclass(frozen=True)
class Chosen:
    """A lock, in words where it is from, and the addresses of what the mirror has just named."""

    lock: Lock
    source: str
    urls: Mapping[str, str] = field(default_factory=dict)


def choose(
    image: str,
    wanted: Mapping[str, Wanted],
    *,
    file: Path | None,
    remembered: Path,
    mirror: str,
    waiting: Callable[[str], None],
) -> Chosen:
    """The lock's packages if there is one, else those of the last build, else the mirror's.

    file: the lock, or None if it is not to be heeded; remembered: where builds without one keep theirs.
    """
    if file is not None and file.is_file():
        return Chosen(_fitting(file, image, wanted), f"images/{file.name}")
    kept = remembered / f"{image}-{_key(wanted, mirror)}.lock"
    if file is not None and (earlier := _remembered(kept)):
        days = int((time.time() - kept.stat().st_mtime) // 86400)
        return Chosen(earlier, f"those of an earlier build, {days} days old; --fresh asks Debian")
    waiting("what Debian has today")
    chosen = fresh(image, wanted, mirror, remembered)
    write(kept, chosen.lock)
    return chosen


def fresh(image: str, wanted: Mapping[str, Wanted], mirror: str, scratch: Path) -> Chosen:
    """What the mirror has now."""
    found = resolve.resolve(wanted, mirror, scratch)
    urls = {pin.sha256: url for pins in found.values() for pin, url in pins.items()}
    there = {stage: found.get(wish.above, {}) for stage, wish in wanted.items()}
    pins = {stage: tuple(sorted(pins.keys() - there[stage].keys())) for stage, pins in found.items()}
    return Chosen(Lock(image, wanted, pins, mirror), "what Debian has today", urls)


def known(stage: str, wish: Wanted, *directories: Path) -> list[Lock]:
    """The locks that have a stage which was asked for just that; of each directory the newest first."""
    files = [
        file
        for directory in directories
        for file in sorted(directory.glob("*.lock"), key=lambda file: file.stat().st_mtime, reverse=True)
    ]
    found = [kept for file in files if (kept := _remembered(file)) is not None]
    return [kept for kept in found if stage in kept.wanted and not kept.misfit({**kept.wanted, stage: wish})]


def _remembered(file: Path) -> Lock | None:
    """A lock that one can do without: none if it is damaged, or of another version of ours."""
    try:
        return lock.read(file, str(file)) if file.is_file() else None
    except BuildError:
        return None


def _fitting(file: Path, image: str, wanted: Mapping[str, Wanted]) -> Lock:
    label = f"images/{file.name}"
    found = lock.read(file, label)
    if found.image != image:
        raise BuildError(f"{label} is for {found.image}", f"./build.py lock {image} makes one")
    if why := found.misfit(wanted):
        raise BuildError(
            f"{label} was made for something else: {why}",
            f"./build.py lock {image} renews it; build --fresh goes without it",
        )
    return found


def _key(wanted: Mapping[str, Wanted], mirror: str) -> str:
    said = {stage: sorted(wish.inputs().items()) for stage, wish in sorted(wanted.items())}
    return digest(json.dumps([said, mirror]).encode())


def write(path: Path, made: Lock) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(made.text(), encoding="utf-8")
