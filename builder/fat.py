"""A FAT32 file system that is the same whoever writes it: names in order, and each with one time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path, PurePosixPath

from builder.inputs import files_below
from builder.layout import SECTOR, Place
from builder.tools import Tools


def make_fat(tools: Tools, target: Path, place: Place, trees: Iterable[Path]) -> None:
    """A file system with the files of some trees in it."""
    with target.open("wb") as f:
        f.truncate(place.size)
    tools.run(
        "usr/sbin/mkfs.fat",
        *("--invariant", "-F", "32", "-s", "1", "-i", place.volume_id, "-n", place.partition.label),
        *("-h", str(place.offset // SECTOR), target),
    )
    files = {path.relative_to(tree).as_posix(): path for tree in trees for path in files_below(tree)}
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents[:-1]}
    if parents:
        tools.run("usr/bin/mmd", "-i", target, *(f"::{parent}" for parent in sorted(parents)))
    for path in files.values():
        os.utime(path, (tools.epoch, tools.epoch))
    for parent, names in groupby(sorted(files, key=_by_directory), lambda name: PurePosixPath(name).parent):
        tools.run("usr/bin/mcopy", "-m", "-i", target, *(files[name] for name in names), f"::{parent}/")


def _by_directory(name: str) -> tuple[str, str]:
    return str(PurePosixPath(name).parent), name
