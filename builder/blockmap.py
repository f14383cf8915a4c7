"""What is in an image, block by block: read from a raw or packed file, checked, zeros told from data.

A block of zeros is part of the image: file systems rely on zeros in tables that were never written (ext4's
inodes, FAT's clusters), also where a sparse file has a hole there. So whoever copies an image may make zeros
in a cheaper way, but never leave out a block. That is why a bmap file, which most programs fill with what is
*no hole*, is used here for its checksums only; bmap.py makes ones that leave out what ext4 does not use.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from builder.bytebar import Watch
from builder.errors import BuildError
from builder.image import MIB
from builder.run import CommandError, streamed, which

FIRST = MIB  # the first block is smaller: whoever writes an image puts its partition table there last
BLOCK = 4 * MIB  # also what flash memory likes to be written in
BMAP_LIMIT = 16 * MIB  # of the bmap file itself
# How packed files begin; RFC 1952, the .xz format 1.2.0, RFC 8878.
GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
AGAIN = "download or build it again"


@dataclass(frozen=True)
class Block:
    """A part of an image; offset and size in bytes."""

    offset: int
    size: int
    sha256: bytes
    zeros: bool


@dataclass(frozen=True)
class BlockMap:
    """An image that was read once: unpacked size, checksum, first block and the list of all."""

    path: Path
    size: int
    sha256: str
    head: bytes
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Range:
    """A range that a bmap file lists: from `start` to before `end`, in bytes; "" where it has no checksum."""

    start: int
    end: int
    sha256: str


@dataclass(frozen=True)
class Bmap:
    """A bmap file."""

    path: Path
    size: int
    ranges: tuple[Range, ...]


def survey(path: Path, watch: Watch) -> BlockMap:
    """Read an image from its beginning to its end.

    Raises:
        BuildError: it is damaged or not what the bmap file beside it says, or cannot be read.
    """
    bmap = bmap_beside(path)
    checker = Checker(bmap) if bmap else None
    whole, head, blocks = hashlib.sha256(), b"", list[Block]()
    watch.begin("checking the image", None)
    with closing(read(path)) as content:
        for offset, data in content:
            whole.update(data)
            head = head or data
            blocks.append(Block(offset, len(data), hashlib.sha256(data).digest(), data == bytes(len(data))))
            if checker:
                checker.feed(offset, data)
            watch.advance(len(data))
    size = sum(block.size for block in blocks)
    if checker:
        checker.finish(size)
    return BlockMap(path, size, whole.hexdigest(), head, tuple(blocks))


def read(path: Path) -> Generator[tuple[int, bytes], None, None]:
    """The blocks of an image with their offsets, unpacked on the way.

    Raises:
        BuildError: it cannot be read or is damaged, or the program that unpacks it is missing.
    """
    try:
        with _unpacked(path) as stream:
            offset = 0
            while data := stream.read(BLOCK - offset % BLOCK if offset else FIRST):
                yield offset, data
                offset += len(data)
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError):
        raise BuildError(f"{path}: it is damaged or cut short", AGAIN) from None
    except OSError as e:
        raise BuildError(f"{path}: {e.strerror}") from None


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """What is in it tells how it is packed; its name may lie."""
    with path.open("rb") as file:
        start = file.read(len(XZ))
        file.seek(0)
        if start.startswith(XZ):
            with lzma.open(file) as unpacked:
                yield unpacked
        elif start.startswith(GZIP):
            with gzip.open(file) as unpacked:
                yield unpacked
        elif start.startswith(ZSTD):
            with _zstd(path) as unpacked:
                yield unpacked
        else:
            yield file


@contextmanager
def _zstd(path: Path) -> Iterator[IO[bytes]]:
    """Python 3.11 knows no zstd, so its program unpacks; EOFError if it finds the file damaged."""
    if which("zstd") is None:
        raise BuildError(f"{path}: zstd is not installed, and unpacks it", "sudo apt-get install zstd")
    try:
        with streamed(["zstd", "--decompress", "--stdout", "--quiet", "--", path]) as unpacked:
            yield unpacked
    except CommandError:
        raise EOFError from None


class Checker:
    """Compares what is read with the checksums of a bmap file, without reading it twice."""

    def __init__(self, bmap: Bmap) -> None:
        self._bmap = bmap
        self._left = deque(bmap.ranges)
        self._hash = hashlib.sha256()

    def feed(self, offset: int, data: bytes) -> None:
        """The next block; BuildError if a range ends in it and is not what was listed."""
        end = offset + len(data)
        while self._left and self._left[0].start < end:
            now = self._left[0]
            self._hash.update(memoryview(data)[max(now.start - offset, 0) : now.end - offset])
            if now.end > end:
                return
            if now.sha256 not in ("", self._hash.hexdigest()):
                raise self._differs(f"bytes {now.start} to {now.end}")
            self._left.popleft()
            self._hash = hashlib.sha256()

    def finish(self, size: int) -> None:
        """The image was read to its end; BuildError if it has another size than was listed."""
        if size != self._bmap.size:
            raise self._differs(f"its {size} bytes")

    def _differs(self, what: str) -> BuildError:
        return BuildError(
            f"{self._bmap.path}: the image beside it is another one, or damaged: {what} are not as listed",
            f"{AGAIN}; if you changed the image yourself (configure does), delete the .bmap",
        )


def bmap_beside(path: Path) -> Bmap | None:
    """The bmap file of x.img.xz: x.img.xz.bmap or x.img.bmap; BuildError if it makes no sense."""
    names = [f"{path}.bmap", *([f"{path.with_suffix('')}.bmap"] if path.suffix != ".img" else [])]
    found = next((Path(name) for name in names if Path(name).is_file()), None)
    return parse_bmap(found) if found else None


def parse_bmap(path: Path) -> Bmap:
    """A bmap file of version 2, as bmaptool makes it.

    Raises:
        BuildError: it is damaged, or of another version.
    """
    bad = BuildError(f"{path}: no bmap file of version 2, or damaged", f"{AGAIN}, or delete the .bmap")
    try:
        if path.stat().st_size > BMAP_LIMIT:
            raise bad
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        size, step = int(_field(root, "ImageSize")), int(_field(root, "BlockSize"))
        own = _field(root, "BmapFileChecksum")
        ranges = tuple(_range(r, step, size) for r in root.findall("BlockMap/Range"))
    except (ElementTree.ParseError, ValueError):  # UnicodeDecodeError is one
        raise bad from None
    major = root.get("version", "").split(".")[0]
    apart = all(one.end <= two.start for one, two in pairwise(ranges))
    # Its own checksum is made while zeros stand in the checksum's place.
    zeroed = hashlib.sha256(text.replace(own, "0" * len(own)).encode()).hexdigest()
    if major != "2" or _field(root, "ChecksumType") != "sha256" or own != zeroed or not apart:
        raise bad
    return Bmap(path, size, ranges)


def _field(root: ElementTree.Element, name: str) -> str:
    return (root.findtext(name) or "").strip()


def _range(element: ElementTree.Element, step: int, size: int) -> Range:
    """`3-5` or `7`, in blocks; the last block may be cut by the image's end. ValueError for all else."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", (element.text or "").strip())
    if found is None:
        raise ValueError
    start, end = int(found[1]) * step, min((int(found[2] or found[1]) + 1) * step, size)
    if start >= end:
        raise ValueError
    return Range(start, end, element.get("chksum", ""))
