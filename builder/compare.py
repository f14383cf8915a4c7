"""Two images, byte for byte; where they differ, in words: which part, which file, and where that is from."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import partitions
from builder.ext4 import FileSystem, Node
from builder.grub import BOOT_CODE
from builder.image import Image
from builder.inputs import file_digest
from builder.layout import BLOCK, SECTOR
from builder.run import CommandError
from builder.tools import Tools

PIECE = 1 << 20
SHOWN = 20  # files of a partition that are named
TABLE = 34 * SECTOR  # a GPT with its header, and the MBR before it; at the end there is another
MINE = {
    "gateway.yaml",
    "identity.secret",
    "ztgate-status.txt",
}  # what `configure` and the appliance put there
TIMES = {"m": "time of change", "a": "time of access", "c": "time of the inode", "cr": "time of creation"}
Origin = Callable[[str, str], str]  # a partition's type and a path in it, to where that is from


@dataclass(frozen=True)
class Region:
    """A stretch of the disk with a name; `kind` is a partition's type, table, code or gap."""

    name: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Finding:
    """One difference; `ours` if it is what `configure` puts on an image."""

    where: str
    what: str
    origin: str = ""
    ours: bool = False

    @property
    def text(self) -> str:
        """A line."""
        return f"{self.where}: {self.what}" + (f"; {self.origin}" if self.origin else "")


def regions(image: Image, disk: Path) -> list[Region]:
    """What a disk that we have built consists of, without a hole."""
    size = disk.stat().st_size
    with disk.open("rb") as f:
        parts = partitions.read(f)
    gpt = image.table == "gpt"
    known = [Region("the boot code", "code", 0, BOOT_CODE)]
    known.append(Region("the partition table", "table", BOOT_CODE, TABLE if gpt else SECTOR))
    for number, (part, said) in enumerate(zip(parts, image.partitions, strict=True), 1):
        name = f"partition {number} ({said.name})"
        known.append(Region(name, said.type, part.offset, part.offset + part.size))
    if gpt:
        known.append(Region("the second partition table", "table", size - TABLE + SECTOR, size))
    every: list[Region] = []
    for region in [*known, Region("the end", "end", size, size)]:
        before = every[-1] if every else None
        if before and before.end < region.start:
            every.append(Region(f"between {before.name} and {region.name}", "gap", before.end, region.start))
        every.append(region)
    return every[:-1]


def differences(built: Path, found: Path, region: Region) -> Iterator[int]:
    """Where bytes differ: the first such byte of each block."""
    with built.open("rb") as one, found.open("rb") as other:
        for at in range(region.start, region.end, PIECE):
            size = min(PIECE, region.end - at)
            one.seek(at)
            other.seek(at)
            a, b = one.read(size), other.read(size).ljust(size, b"\0")
            if a == b:
                continue
            for block in range(0, size, BLOCK):
                x, y = a[block : block + BLOCK], b[block : block + BLOCK]
                if x != y:
                    yield at + block + next(i for i in range(len(x)) if x[i] != y[i])


@dataclass(frozen=True)
class Pair:
    """What was built again, and what is looked at."""

    image: Image
    built: Path
    found: Path
    tools: Tools
    origin: Origin

    def findings(self) -> list[Finding]:
        """Every difference that has a name; none only if all bytes are the same."""
        said = []
        sizes = self.built.stat().st_size, self.found.stat().st_size
        if sizes[0] != sizes[1]:
            said.append(Finding("the image", f"{sizes[1]} bytes long instead of {sizes[0]}"))
        for region in regions(self.image, self.built):
            at = list(differences(self.built, self.found, region))
            if at:
                said += self._explained(region, at)
        return said

    def _explained(self, region: Region, at: list[int]) -> list[Finding]:
        files: list[Finding] = []
        try:
            if region.kind == "root":
                files = self._ext4(region)
            elif region.kind == "firmware":
                files = self._fat(region)
        except (CommandError, ValueError):
            files = [Finding(region.name, "its file system cannot be read any more")]
        more = len(files) - SHOWN
        if more > 0:
            files = [*files[:SHOWN], Finding(region.name, f"and {more} more files")]
        return files or [self._bytes(region, at)]

    def _bytes(self, region: Region, at: list[int]) -> Finding:
        """Bytes that are in no file."""
        blocks = f"byte {at[0] - region.start} of it differs (byte {at[0]} of the disk)"
        if len(at) > 1:
            blocks += f", and {len(at) - 1} more blocks of {BLOCK} bytes"
        if region.kind == "root":
            system = FileSystem(self.tools, self.built, region.start)
            inode = system.whose((at[0] - region.start) // BLOCK)
            whose = f"inode {inode}" if inode.isdigit() else "the file system's own structures or free space"
            return Finding(region.name, f"{blocks}: {whose}, and no file", "mke2fs, stage disk")
        return Finding(region.name, blocks, self.origin(region.kind, ""))

    def _ext4(self, region: Region) -> list[Finding]:
        old, new = (FileSystem(self.tools, disk, region.start).read() for disk in (self.built, self.found))
        return [
            Finding(f"{region.name}: {path}", what, self.origin(region.kind, path))
            for path, what in _nodes(old, new)
        ]

    def _fat(self, region: Region) -> list[Finding]:
        with tempfile.TemporaryDirectory() as scratch:
            old, new = (
                self._fat_files(disk, region, Path(scratch) / name)
                for disk, name in ((self.built, "built"), (self.found, "found"))
            )
        return [
            Finding(f"{region.name}: {path}", what, self.origin(region.kind, path), path.lstrip("/") in MINE)
            for path, what in _nodes(old, new)
        ]

    def _fat_files(self, disk: Path, region: Region, target: Path) -> dict[str, Node]:
        target.mkdir()
        self.tools.run("usr/bin/mcopy", "-s", "-m", "-n", "-i", f"{disk}@@{region.start}", "::", target)
        nodes = {}
        for path in sorted(target.rglob("*")):
            about = path.stat()
            file = path.is_file()
            times = (("m", int(about.st_mtime)),) if file else ()
            size, content = (about.st_size, file_digest(path)) if file else (0, "")
            nodes[f"/{path.relative_to(target)}"] = Node("-" if file else "d", "", size, times, "", content)
        return nodes


def _nodes(old: Mapping[str, Node], new: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """Each path that is not the same, and how."""
    for path in sorted({*old, *new}):
        was, now = old.get(path), new.get(path)
        if was is None:
            yield path, "is there, and should not be"
        elif now is None:
            yield path, "is missing"
        elif was != now:
            yield path, "; ".join(_node(was, now))


def _node(was: Node, now: Node) -> Iterator[str]:
    if was.content != now.content:
        yield (
            "other content"
            if was.size == now.size
            else f"other content, {now.size} bytes instead of {was.size}"
        )
    elif was.size != now.size:
        yield f"{now.size} bytes instead of {was.size}"
    for what, a, b in (("mode", was.mode, now.mode), ("owner", was.owner, now.owner)):
        if a != b:
            yield f"{what} {b} instead of {a}"
    if was.more != now.more:
        yield f"{now.more or 'nothing'} instead of {was.more or 'nothing'}"
    before = dict(was.times)
    for name, value in now.times:
        if before.get(name) != value:
            yield f"{TIMES[name]} {_date(value)} instead of {_date(before.get(name, 0))}"


def _date(seconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
