"""What is in a finished image, read from its raw file: partitions, and the files of root and FAT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import partitions
from builder.debugfs import Debugfs, File
from builder.errors import BuildError
from builder.gateway_config import LABEL
from builder.run import run
from builder.tools import Tools

AT_ONCE = 64 << 20  # bytes of content that are asked for at once
EXT_MAGIC = b"\x53\xef"  # in an ext2, 3 or 4 superblock, linux/fs/ext4/ext4.h


@dataclass(frozen=True)
class Disk:
    """A raw image of ours, and the tools to read it with."""

    path: Path
    tools: Tools
    table: str  # gpt | dos
    parts: tuple[partitions.Part, ...]
    fat: int  # offsets in bytes
    root: int

    @property
    def _root(self) -> Debugfs:
        return Debugfs(self.tools, self.path, self.root)

    def files(self) -> dict[str, File]:
        """Every path of the root, without a leading slash."""
        return self._root.files()

    def read(self, files: dict[str, File]) -> Iterator[tuple[str, bytes]]:
        """The contents of regular files."""
        batch: dict[str, File] = {}
        for path, file in files.items():
            if batch and sum(f.size for f in batch.values()) + file.size > AT_ONCE:
                yield from self._cat(batch)
                batch = {}
            if file.regular:
                batch[path] = file
        yield from self._cat(batch)

    def on_fat(self) -> set[str]:
        """Every file of the FAT partition."""
        listed = run(
            ["mdir", "-/", "-b", "-i", f"{self.path}@@{self.fat}", "::"], env={"MTOOLS_SKIP_CHECK": "1"}
        )
        return {line.removeprefix("::/") for line in listed.splitlines() if not line.endswith("/")}

    def ask(self, request: str) -> bytes:
        """What debugfs says to a request about the root."""
        return self._root.ask([request])[0]

    def at(self, offset: int, size: int) -> bytes:
        """Bytes of the disk."""
        with self.path.open("rb") as disk:
            disk.seek(offset)
            return disk.read(size)

    def _cat(self, files: dict[str, File]) -> Iterator[tuple[str, bytes]]:
        answers = self._root.ask([f"cat <{file.inode}>" for file in files.values()])
        for (path, file), data in zip(files.items(), answers, strict=True):
            if len(data) != file.size:
                raise BuildError(f"{self.path}: /{path} cannot be read from it", "is the image whole?")
            yield path, data


def open_image(path: Path, tools: Tools) -> Disk:
    """A raw image of ours.

    Raises:
        BuildError: it is something else.
    """
    hint = "./build.py build vps-amd64 makes one; a packed or converted image must be the raw one again"
    if not path.is_file():
        raise BuildError(f"{path}: there is no such file", hint)
    try:
        with path.open("rb") as disk:
            parts = partitions.read(disk)
            fat = next((p for p in parts if partitions.fat_label(disk, p.offset) == LABEL), None)
            disk.seek(parts[-1].offset + 1024 + 56 if parts else 0)
            magic = disk.read(2)
            kind = "gpt" if len(parts) and "-" in parts[0].type else "dos"
    except partitions.NoTable as e:
        raise BuildError(f"{path}: no ztgate image: {e}", hint) from None
    if fat is None or magic != EXT_MAGIC:
        raise BuildError(f"{path}: no ztgate image: it has no FAT partition {LABEL} and ext4 root", hint)
    return Disk(path, tools, kind, tuple(parts), fat.offset, parts[-1].offset)
