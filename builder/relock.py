"""`lock`: an image's packages from now on are what Debian and ZeroTier have today."""

from __future__ import annotations

from pathlib import Path

from builder import load, lock, locking, plan
from builder.engine import Observer
from builder.errors import BuildError
from builder.pipeline import NEEDED, space
from builder.plan import Options
from builder.project import ROOT
from builder.store import Store


def relock(name: str, options: Options, observer: Observer) -> tuple[Path, list[str]]:
    """Renew an image's lock and fetch its packages; where it is, and what is different from the old one."""
    image = load.load(ROOT / "images", name)
    given = plan.named(image, options)
    store = Store(options.cache.resolve())
    path = options.locks / f"{name}.lock"
    old = _old(path, observer)
    with (
        space(NEEDED[image.boot] // 4, store.root),
        store.locked(lambda: observer.note("waiting: another build uses the cache")),
    ):
        planned = plan.make(image, options, given, store.root, observer)
        planned.pool.provide(planned.lock.every)
        locking.write(path, planned.lock)
    return path, lock.changes(old, planned.lock)


def _old(path: Path, observer: Observer) -> lock.Lock | None:
    """The lock so far, to compare with; a damaged one is no reason not to make another."""
    try:
        return lock.read(path, f"images/{path.name}") if path.is_file() else None
    except BuildError as e:
        observer.note(f"{e.message}; it is made anew")
        return None
