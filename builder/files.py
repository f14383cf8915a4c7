"""Files that appear whole or not at all, and copies that stay sparse."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.run import run

PIECE = 1 << 20  # bytes


@contextmanager
def replacing(target: Path, mode: int = 0o666) -> Iterator[Path]:
    """An empty file of that mode beside the target, which takes its name when the block ends well."""
    unfinished = target.with_name(f".tmp-{target.name}")
    unfinished.unlink(missing_ok=True)
    try:
        unfinished.touch(mode=mode)
        yield unfinished
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def copy_sparse(source: Path, target: Path) -> None:
    """Fill an existing file, which keeps its mode; blocks are shared where the file system can."""
    run(["cp", "--sparse=always", "--reflink=auto", "--no-preserve=all", source, target])


def copy_into(target: Path, offset: int, source: Path) -> None:
    """Write a sparse file at an offset of another one; where it has holes, nothing is written."""
    with target.open("r+b") as out, source.open("rb") as file:
        for start, end in data_extents(source):
            out.seek(offset + start)
            while start < end:
                start += os.sendfile(out.fileno(), file.fileno(), start, end - start)


def sparse_digest(path: Path) -> str:
    """sha256 of a sparse file. Its holes are not read: the kernel would find memory for their zeros."""
    total, zeros, at = hashlib.sha256(), bytes(PIECE), 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start, end in [*data_extents(path), (size, size)]:
            for left in range(start - at, 0, -PIECE):
                total.update(memoryview(zeros)[:left])
            file.seek(start)
            for left in range(end - start, 0, -PIECE):
                total.update(file.read(min(left, PIECE)))
            at = end
    return total.hexdigest()


def data_extents(path: Path) -> list[tuple[int, int]]:
    """Where a sparse file has data: starts and ends."""
    with path.open("rb") as file:
        return list(extents(file.fileno(), 0, os.fstat(file.fileno()).st_size))


def extents(file: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The same of a part of an open file; one that gets shorter meanwhile ends early."""
    while start < end:
        try:
            low = os.lseek(file, start, os.SEEK_DATA)
            start = min(os.lseek(file, low, os.SEEK_HOLE), end)
        except OSError:  # ENXIO: only a hole is left
            return
        if low < end:
            yield low, start
