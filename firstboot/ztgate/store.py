"""Files that are either the old or the new one, also after a power cut."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def read_bytes(path: Path) -> bytes | None:
    """The content, or None when there is no such file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_text(path: Path) -> str | None:
    """The content as text, or None when there is no such file."""
    content = read_bytes(path)
    return None if content is None else content.decode("utf-8", "replace")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} when there is none or it is damaged (state can be found out again)."""
    try:
        data = json.loads(read_bytes(path) or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace path atomically and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with os.fdopen(_ours(temporary, mode), "wb") as file:
        file.truncate()
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(path)
    sync_directory(path.parent)


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Whether nobody else is in there; whoever comes meanwhile is told so. A lock ends with its process."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _ours(temporary: Path, mode: int) -> int:
    """A descriptor of the file to be, which nobody else writes: `ztgate wifi` and `ztgate` start together.

    Not a name of one's own for each writer: after power cuts they would stay for ever.
    """
    while True:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if temporary.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # its writer before us has put it in its place: that file is no longer ours to write
        os.close(descriptor)


def read_kept(path: Path, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Of a JSON object and its copy the first that is whole; {} if neither is."""
    return next((data for data in map(read_json, (path, _copy(path))) if data and fits(data)), {})


def write_kept(path: Path, content: bytes, mode: int) -> None:
    """Write what cannot be found out again, if it changed: twice, as one of two is enough to go on."""
    for each in (path, _copy(path)):
        if read_bytes(each) != content:
            write(each, content, mode)


def remove_kept(path: Path) -> None:
    """Delete both, durably."""
    for each in (path, _copy(path)):
        remove(each)


def _copy(path: Path) -> Path:
    return path.with_name(f"{path.name}.copy")


def like(example: object) -> Callable[[dict[str, Any]], bool]:
    """Whether a JSON object's values are of the kinds that a dataclass's are. What is missing has a default,
    and where that is None anything fits.
    """
    known = vars(example)

    def fits(data: dict[str, Any]) -> bool:
        both = (
            (data[key], list(value) if isinstance(value, tuple) else value)
            for key, value in known.items()
            if key in data
        )
        return all(default is None or isinstance(found, type(default)) for found, default in both)

    return fits


def remove(path: Path) -> None:
    """Delete a file durably; it may be gone already."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def overwrite(path: Path, edits: tuple[tuple[int, bytes], ...]) -> None:
    """Replace bytes where they lie, so that no old copy of the file's blocks stays on the disk."""
    with path.open("r+b") as file:
        for offset, content in edits:
            file.seek(offset)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
