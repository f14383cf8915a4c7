"""Tar files with nothing in them that depends on who packed them, when or where."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from builder.inputs import files_below

DIRECTORY = 0o755
CAPABILITY = "SCHILY.xattr.security.capability"


@dataclass(frozen=True)
class Entry:
    """A file, link or directory that we put into a tree; everything of ours belongs to root."""

    mode: int
    data: bytes = field(default=b"", repr=False)  # perhaps a gateway.yaml, and its token with it
    link: str = ""
    directory: bool = False

    def member(self, path: str, epoch: int) -> tarfile.TarInfo:
        """Its header."""
        info = tarfile.TarInfo(f"./{path}")
        info.mode, info.mtime, info.size = self.mode, epoch, len(self.data)
        if self.link:
            info.type, info.linkname, info.size = tarfile.SYMTYPE, self.link, 0
        elif self.directory:
            info.type = tarfile.DIRTYPE
        return info


def file_entry(path: Path) -> Entry:
    """A file or link as git keeps it: content, target, and whether it can be executed."""
    if path.is_symlink():
        return Entry(0o777, link=str(path.readlink()))
    return Entry(0o755 if path.stat().st_mode & 0o100 else 0o644, path.read_bytes())


def with_parents(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries and the directories above them, parents first."""
    every: dict[str, Entry] = {}
    for path in sorted(entries):
        for parent in reversed(PurePosixPath(path).parents[:-1] if "/" in path else ()):
            every.setdefault(str(parent), Entry(DIRECTORY, directory=True))
        every[path] = entries[path]
    return every


def tar_of_tree(tree: Path, target: Path, epoch: int) -> None:
    """Pack a directory of the repository."""
    entries = {str(p.relative_to(tree)): file_entry(p) for p in files_below(tree)}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        append(tar, with_parents(entries), epoch)


def append(tar: tarfile.TarFile, entries: Mapping[str, Entry], epoch: int) -> None:
    """Write entries at a tar's end, in their order."""
    for path, entry in entries.items():
        tar.addfile(entry.member(path, epoch), io.BytesIO(entry.data))


def members(tar: tarfile.TarFile, epoch: int) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The members of a tar by their paths without `./`; owners as numbers, no time after the epoch."""
    for member in tar:
        member.uname = member.gname = ""
        member.mtime = min(int(member.mtime), epoch)
        # Programs' capabilities stay; times with fractions go, and access lists too: tmpfiles.d sets these.
        member.pax_headers = {k: v for k, v in member.pax_headers.items() if k == CAPABILITY}
        yield member.name.removeprefix("./").strip("/"), member
