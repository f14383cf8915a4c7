"""Finished artifacts by stage and id: committed by one rename, so a killed build leaves nothing half-made."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import namespace
from builder.errors import BuildError
from builder.inputs import Inputs, difference, distance
from builder.run import run

KEPT = 3  # artifacts of one stage; older ones go after a build
UNFINISHED = ".tmp-"
SECONDS = "seconds"  # how long an artifact took to make


@dataclass(frozen=True)
class Miss:
    """Why there is no artifact, and the seconds that the most similar one took, if that is known."""

    reason: str
    expected: float | None


@dataclass(frozen=True)
class Store:
    """The cache directory: <stage>/<id>/ with the artifact's files and inputs.json."""

    root: Path

    @contextlib.contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the cache for one build; `waiting` is called if it is taken.

        It is swept before, as a build may have been killed, and after: ^C may come between any two lines.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # a baked-in configuration is in the artifacts too
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            try:
                yield
            finally:
                self._sweep()

    def find(self, stage: str, id_: str) -> Path | None:
        """A finished artifact, marked as used now."""
        path = self.root / stage / id_
        if not path.is_dir():
            return None
        os.utime(path)
        return path

    def age_days(self, path: Path) -> int:
        """How long ago an artifact was made."""
        return int((time.time() - (path / "inputs.json").stat().st_mtime) // 86400)

    def missed(self, stage: str, inputs: Inputs) -> Miss:
        """Compare with the most similar artifact: other images have theirs of the same stage."""
        kept = [(_inputs_of(path), path / SECONDS) for path in self._artifacts(stage)]
        if not kept:
            return Miss("nothing in the cache", None)
        old, took = min(kept, key=lambda one: distance(one[0], inputs))
        return Miss(difference(old, inputs), float(took.read_text()) if took.exists() else None)

    @contextlib.contextmanager
    def making(self, stage: str, id_: str, inputs: Inputs) -> Iterator[Path]:
        """A directory to make an artifact in; it takes its final name when the block ends well."""
        final = self.root / stage / id_
        work = self.root / stage / f"{UNFINISHED}{id_}"
        self.remove(work)
        work.mkdir(parents=True)
        began = time.monotonic()
        try:
            yield work
            (work / SECONDS).write_text(f"{time.monotonic() - began:.1f}")
            (work / "inputs.json").write_text(json.dumps(inputs, indent=1, sort_keys=True))
            self.remove(final)
            work.rename(final)
        except BaseException:
            self.remove(work)
            raise

    def sizes(self) -> dict[str, int]:
        """Bytes on the disk, by stage; what was downloaded counts as one, too."""
        return {stage.name: _allocated(stage) for stage in sorted(self.root.iterdir()) if stage.is_dir()}

    def prune(self, used: set[Path], kept: int = KEPT) -> None:
        """Forget the artifacts of each stage that have not been used for longest."""
        for stage in self.root.iterdir() if self.root.is_dir() else ():
            if not stage.is_dir():
                continue
            by_use = sorted(self._artifacts(stage.name), key=lambda p: p.stat().st_mtime, reverse=True)
            for path in by_use[kept:]:
                if path not in used:
                    self.remove(path)

    def remove(self, path: Path) -> None:
        """Have it gone, if it is there."""
        if not path.exists():
            return
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except PermissionError as e:
            # A killed mmdebstrap leaves files of its namespace's users; such a namespace can remove them.
            if namespace.why_not():
                raise BuildError(f"{e.filename}: cannot be removed", f"sudo rm -r {path}") from None
            run([*namespace.inside(), "rm", "-r", "-f", path])

    def _artifacts(self, stage: str) -> list[Path]:
        return [p.parent for p in (self.root / stage).glob("[!.]*/inputs.json")]

    def _sweep(self) -> None:
        for leftover in self.root.glob(f"*/{UNFINISHED}*"):
            self.remove(leftover)


def _inputs_of(artifact: Path) -> Inputs:
    inputs: Inputs = json.loads((artifact / "inputs.json").read_text())
    return inputs


def _allocated(tree: Path) -> int:
    """What a tree takes, holes and second links left out."""
    stats = {(s.st_dev, s.st_ino): s.st_blocks for s in (path.lstat() for path in tree.rglob("*"))}
    return sum(stats.values()) * 512  # st_blocks counts in these, stat(2)
