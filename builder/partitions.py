"""Reading a disk image's partition table, GPT or MBR, and a FAT file system's label: no tool, no root."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SECTOR = 512
PROTECTIVE = 0xEE  # MBR type that says: look for a GPT
MOST_ENTRIES = 1024  # more than any table has: a damaged header must not make us read gigabytes


class NoTable(Exception):
    """No partition table that makes sense."""


@dataclass(frozen=True)
class Part:
    """A partition: its type (a GUID, or two hexadecimal digits in an MBR), offset and size in bytes."""

    type: str
    offset: int
    size: int


def read(disk: BinaryIO) -> list[Part]:
    """The partitions of a disk, in the table's order."""
    first = _at(disk, 0, SECTOR)
    if first[510:512] != b"\x55\xaa":
        raise NoTable("it has no partition table")
    entries = [first[446 + 16 * i : 462 + 16 * i] for i in range(4)]
    if any(entry[4] == PROTECTIVE for entry in entries):
        return _gpt(disk)
    return [part for part in map(_mbr_entry, entries) if part.size]


def _mbr_entry(entry: bytes) -> Part:
    start, sectors = struct.unpack_from("<II", entry, 8)
    return Part(f"{entry[4]:02x}", start * SECTOR, sectors * SECTOR)


def _gpt(disk: BinaryIO) -> list[Part]:
    """UEFI specification 2.10, section 5.3."""
    header = _at(disk, SECTOR, 92)
    if header[:8] != b"EFI PART":
        raise NoTable("its partition table is damaged")
    lba, count, size = struct.unpack_from("<QII", header, 72)
    if not (0 < count <= MOST_ENTRIES and 128 <= size <= 4096):
        raise NoTable("its partition table is damaged")
    parts = []
    for i in range(count):
        entry = _at(disk, lba * SECTOR + i * size, 48)
        if any(entry[:16]):
            start, end = struct.unpack_from("<QQ", entry, 32)
            kind = str(uuid.UUID(bytes_le=entry[:16]))
            parts.append(Part(kind, start * SECTOR, (end - start + 1) * SECTOR))
    return parts


def fat_label(disk: BinaryIO, offset: int) -> str:
    """The label in a FAT32 boot sector (Microsoft's FAT specification 1.03, section 3); "" for others."""
    try:
        sector = _at(disk, offset, SECTOR)
    except NoTable:
        return ""
    if sector[510:512] != b"\x55\xaa" or sector[82:87] != b"FAT32":
        return ""
    return sector[71:82].decode("ascii", "replace").rstrip()


def fat_clusters(disk: BinaryIO, offset: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Where clusters of a FAT32 file system lie on the disk: offset and size in bytes."""
    sector = _at(disk, offset, SECTOR)
    size, per_cluster, reserved, fats = struct.unpack_from("<HBHB", sector, 11)
    (fat_size,) = struct.unpack_from("<I", sector, 36)
    data = offset + (reserved + fats * fat_size) * size
    for cluster in range(first, last + 1):
        yield data + (cluster - 2) * per_cluster * size, per_cluster * size


def _at(disk: BinaryIO, offset: int, size: int) -> bytes:
    disk.seek(offset)
    data = disk.read(size)
    if len(data) < size:
        raise NoTable("it ends too soon")
    return data
