"""A .bmap for an image: which blocks a disk needs, and their checksums (bmaptool's format 2.0).

A hole in a sparse file says nothing: file systems rely on zeros in tables that were never written. So a
block is left out only where ext4 itself says that nobody uses it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from builder.contents import Disk

BLOCK = 4096  # bytes; that of our ext4
FREE = re.compile(rb"^Block (\d+) not in use$", re.MULTILINE)


def make(disk: Disk) -> str:
    """The file's text."""
    size = disk.path.stat().st_size
    count = -(-size // BLOCK)
    ranges = list(_ranges(count, free_blocks(disk)))
    mapped = sum(last - first + 1 for first, last in ranges)
    lines = [
        '<?xml version="1.0" ?>',
        '<bmap version="2.0">',
        f"    <ImageSize> {size} </ImageSize>",
        f"    <BlockSize> {BLOCK} </BlockSize>",
        f"    <BlocksCount> {count} </BlocksCount>",
        f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>",
        "    <ChecksumType> sha256 </ChecksumType>",
        f"    <BmapFileChecksum> {'0' * 64} </BmapFileChecksum>",
        "    <BlockMap>",
        *_listed(disk, ranges),
        "    </BlockMap>",
        "</bmap>",
    ]
    text = "\n".join(lines) + "\n"
    own = hashlib.sha256(text.encode()).hexdigest()  # while zeros stand in its place
    return text.replace("0" * 64, own, 1)


def free_blocks(disk: Disk) -> set[int]:
    """The image's blocks that its root does not use, by number."""
    root = disk.parts[-1]
    said = disk.ask(f"testb 1 {root.size // BLOCK - 1}")  # block 0 has the superblock
    first = root.offset // BLOCK
    return {first + int(number) for number in FREE.findall(said)} if root.offset % BLOCK == 0 else set()


def _ranges(count: int, free: set[int]) -> Iterator[tuple[int, int]]:
    first = None
    for block in range(count + 1):
        used = block < count and block not in free
        if used and first is None:
            first = block
        elif not used and first is not None:
            yield first, block - 1
            first = None


def _listed(disk: Disk, ranges: list[tuple[int, int]]) -> Iterator[str]:
    with disk.path.open("rb") as image:
        for first, last in ranges:
            image.seek(first * BLOCK)
            checksum = hashlib.sha256()
            for _ in range(first, last + 1):
                checksum.update(image.read(BLOCK))
            name = f"{first}-{last}" if last > first else f"{first}"
            yield f'        <Range chksum="{checksum.hexdigest()}"> {name} </Range>'
