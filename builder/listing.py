"""What is in the system's tar, in a file that is read in no time: reading a tar of 12,000 members is not."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

FILE, DIRECTORY, LINK, HARD_LINK, OTHER = "file", "directory", "link", "hard link", "other"


@dataclass(frozen=True)
class Member:
    """One path without a leading slash; `offset` and `size` are those of a file's content in the tar."""

    path: str
    kind: str
    size: int
    offset: int
    target: str  # of a link


def of_tar(tar: Path) -> list[Member]:
    """Every member, in the tar's order."""
    with tarfile.open(tar) as packed:
        return [member(info, info.offset_data) for info in packed]


def write(members: Iterable[Member], target: Path) -> None:
    """To be read() again."""
    target.write_text(json.dumps([astuple(member) for member in members]), encoding="utf-8")


def read(path: Path) -> dict[str, Member]:
    """What write() wrote, by path."""
    return {row[0]: Member(*row) for row in json.loads(path.read_text(encoding="utf-8"))}


def content(tar: Path, members: Iterable[Member], path: str) -> bytes:
    """A file's; nothing if there is none."""
    for one in members:
        if one.path == path:
            with tar.open("rb") as packed:
                packed.seek(one.offset)
                return packed.read(one.size)
    return b""


def member(info: tarfile.TarInfo, offset: int) -> Member:
    """A row of the listing; the offset is that of its content in the tar."""
    path = info.name.removeprefix("./").strip("/")
    target = info.linkname.removeprefix("./") if info.islnk() else info.linkname
    return Member(path, _kind(info), info.size if info.isreg() else 0, offset, target)


def _kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return FILE
    if info.isdir():
        return DIRECTORY
    return LINK if info.issym() else HARD_LINK if info.islnk() else OTHER
