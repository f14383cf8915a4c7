"""Copies of an image that differ in their gateway.yaml, made without starting a program for each.

What mtools changes on a FAT partition for a file depends on the file's length alone. So that is looked up
once for each length, with a file of nothing, and written into the copies with each one's own text.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import gateway_config, partitions
from builder.errors import BuildError
from builder.files import extents
from builder.inputs import file_digest

BLOCK = 4096
PIECE = 1 << 20  # bytes
FICLONE = 0x40049409  # <linux/fs.h>: share a file's blocks with another


@dataclass(frozen=True)
class Base:
    """The image that is copied, and its FAT partition: offset and end in bytes."""

    path: Path
    offset: int
    end: int
    sha256: str
    state: tuple[int, int, int]

    def check(self) -> None:
        """BuildError if it is written to while it is copied."""
        if _state(self.path) != self.state:
            raise BuildError(
                f"{self.path} has changed meanwhile", "begin again when it is no longer written to"
            )


@dataclass(frozen=True)
class Pattern:
    """What a file of some length changes: runs of blocks by their offsets, and where its content lies."""

    runs: tuple[tuple[int, bytes], ...]
    places: tuple[tuple[int, int], ...]  # offset and size, in the file's order

    def filled(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """What is to be written into a copy, and where."""
        runs = [(at, bytearray(run)) for at, run in self.runs]
        starts, done = [at for at, _ in runs], 0
        for at, size in self.places:
            start, run = runs[bisect_right(starts, at) - 1]
            part = content[done : done + size]
            run[at - start : at - start + len(part)] = part
            done += size
        for start, run in runs:
            yield start, bytes(run)


def base(image: Path, offset: int) -> Base:
    """An image with its FAT partition at this offset."""
    state = _state(image)
    with image.open("rb") as disk:
        size = next(part.size for part in partitions.read(disk) if part.offset == offset)
    return Base(image, offset, offset + size, file_digest(image), state)


def pattern(base: Base, length: int) -> Pattern:
    """Put a file of that length on a copy of the FAT partition, and see what has changed."""
    with tempfile.TemporaryDirectory(prefix="ztgate-") as directory:
        scratch = Path(directory) / "fat.img"
        with base.path.open("rb") as source, scratch.open("wb") as target:
            _copy_data(source.fileno(), target.fileno(), base.offset, base.end)
            target.truncate(base.end)
        gateway_config.put(scratch, base.offset, "x" * length)
        places = tuple(gateway_config.places(scratch, base.offset, gateway_config.NAME))
        with base.path.open("rb") as before, scratch.open("rb") as after:
            runs = [
                (start, os.pread(after.fileno(), end - start, start))
                for start, end in _differing(before.fileno(), after.fileno(), base.offset, base.end)
            ]
    return Pattern(tuple(runs), places)


def make(base: Base, pattern: Pattern, content: bytes, target: Path) -> None:
    """Fill an existing file, which keeps its mode, with the image and what is to be different in it."""
    if not cloned(base.path, target):
        _copied(base.path, target)
    with target.open("r+b") as disk:
        for at, run in pattern.filled(content):
            os.pwrite(disk.fileno(), run, at)
    base.check()


def cloned(source: Path, target: Path) -> bool:
    """Have a file share another one's blocks; False where the file system cannot."""
    with source.open("rb") as ours, target.open("r+b") as theirs:
        try:
            fcntl.ioctl(theirs, FICLONE, ours.fileno())
        except OSError:
            return False
    return True


def sha256(base: Base, copy: Path) -> str:
    """Of the copy, which is the base but for its FAT partition.

    sha256 is a chain, so all that comes after a change must be hashed again, but not read from the disk
    again: the base stays in memory, while a copy that shares its blocks would be read anew.
    """
    total = hashlib.sha256()
    with base.path.open("rb") as ours, copy.open("rb") as theirs:
        end = base.state[1]
        for file, at, stop in (
            (ours, 0, base.offset),
            (theirs, base.offset, base.end),
            (ours, base.end, end),
        ):
            file.seek(at)
            while piece := file.read(min(PIECE, stop - at)):
                total.update(piece)
                at += len(piece)
    return total.hexdigest()


def _state(image: Path) -> tuple[int, int, int]:
    status = image.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _data(file: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where a file has data, in whole blocks from `start` on."""
    for low, high in extents(file, start, end):
        yield low - (low - start) % BLOCK, high


def _copied(source: Path, target: Path) -> None:
    with source.open("rb") as ours, target.open("r+b") as theirs:
        size = os.fstat(ours.fileno()).st_size
        _copy_data(ours.fileno(), theirs.fileno(), 0, size)
        theirs.truncate(size)


def _copy_data(source: int, target: int, start: int, end: int) -> None:
    """Holes stay holes. A source that gets shorter meanwhile ends early."""
    for low, high in _data(source, start, end):
        while low < high:
            copied = _copy_piece(source, target, low, high)
            if copied == 0:
                return
            low += copied


def _copy_piece(source: int, target: int, low: int, high: int) -> int:
    """By the kernel, which some file systems, and pairs of them, leave to us."""
    try:
        return os.copy_file_range(source, target, high - low, low, low)
    except OSError as e:
        if e.errno not in (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
    return os.pwrite(target, os.pread(source, min(PIECE, high - low), low), low)


def _differing(before: int, after: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs of blocks that are not the same: nothing that was data becomes a hole."""
    run: tuple[int, int] | None = None
    for low, high in _data(after, start, end):
        for at in range(low, high, BLOCK):
            size = min(BLOCK, high - at)
            if os.pread(before, size, at) == os.pread(after, size, at):
                continue
            if run and run[1] == at:
                run = run[0], at + size
                continue
            if run:
                yield run
            run = at, at + size
    if run:
        yield run
