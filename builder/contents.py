"""What is in a finished image, read from its raw file: partitions, and the files of root and FAT."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import partitions
from builder.errors import BuildError
from builder.gateway_config import LABEL
from builder.run import run, streamed
from builder.tools import Tools

AT_ONCE = 64 << 20  # bytes of content that are asked for at once
EXT_MAGIC = b"\x53\xef"  # in an ext2, 3 or 4 superblock, linux/fs/ext4/ext4.h


@dataclass(frozen=True)
class File:
    """A name in a file system: its inode, mode with its kind, and size."""

    inode: int
    mode: int
    size: int

    @property
    def regular(self) -> bool:
        """Whether it has content."""
        return stat.S_ISREG(self.mode)

    @property
    def directory(self) -> bool:
        """Whether there is something below it."""
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Disk:
    """A raw image of ours, and the tools to read it with."""

    path: Path
    tools: Tools
    table: str  # gpt | dos
    parts: tuple[partitions.Part, ...]
    fat: int  # offsets in bytes
    root: int

    def files(self) -> dict[str, File]:
        """Every path of the root, without a leading slash; debugfs is asked once for each level."""
        found: dict[str, File] = {}
        level = [""]
        while level:
            answers = self._ask([f'ls -p "/{directory}"' for directory in level])
            here = {
                f"{directory}/{name}".lstrip("/"): file
                for directory, answer in zip(level, answers, strict=True)
                for name, file in _listed(answer)
            }
            found |= here
            level = [path for path, file in here.items() if file.directory]
        return found

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
        return self._ask([request])[0]

    def at(self, offset: int, size: int) -> bytes:
        """Bytes of the disk."""
        with self.path.open("rb") as disk:
            disk.seek(offset)
            return disk.read(size)

    def _cat(self, files: dict[str, File]) -> Iterator[tuple[str, bytes]]:
        answers = self._ask([f"cat <{file.inode}>" for file in files.values()])
        for (path, file), data in zip(files.items(), answers, strict=True):
            if len(data) != file.size:
                raise BuildError(f"{self.path}: /{path} cannot be read from it", "is the image whole?")
            yield path, data

    def _ask(self, requests: Iterable[str]) -> list[bytes]:
        """What debugfs says to each request: it repeats the request before it, after a prompt."""
        lines = list(requests)
        if not lines:
            return []
        with tempfile.TemporaryFile() as script:
            script.write("".join(f"{line}\n" for line in lines).encode())
            script.seek(0)
            device = f"{self.path}?offset={self.root}"
            argv = self.tools.argv("usr/sbin/debugfs", ["-f", "-", device])
            with streamed(argv, env=self.tools.environment(), stdin=script.fileno()) as said:
                text = said.read()
        answers, at = [], 0
        asked = [f"debugfs: {line}\n".encode() for line in lines]
        for mine, following in zip(asked, [*asked[1:], b""], strict=True):
            start = at + len(mine)
            at = text.find(following, start) if following else len(text)
            answers.append(text[start:at])
        return answers


def _listed(answer: bytes) -> Iterator[tuple[str, File]]:
    for line in answer.decode(errors="replace").splitlines():
        if line.startswith("/"):
            inode, mode, _, _, name, size, _ = line[1:].split("/")
            if name not in (".", "..", ""):
                yield name, File(int(inode), int(mode, 8), int(size or 0))


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
