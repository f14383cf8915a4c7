"""Files that appear whole or not at all, and copies that stay sparse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.run import run


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
