"""Where everything lies on a disk: identifiers, offsets and sizes, all worked out and nothing written."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from builder.image import MIB, Image, Partition, size_in_bytes
from builder.listing import DIRECTORY, Member

SECTOR = 512
START = {"gpt": MIB, "dos": 4 * MIB}  # of the first partition; memory cards erase 4 MiB at a time
BACKUP = MIB  # at the end: the second partition table, rounded up
BLOCK = 4096  # of ext4
SPARE_MIN = 300 * MIB  # free space of a root before it grows: logs, one more kernel, updates
# Names of identifiers are uuid5 in this namespace: the same image definition gives the same identifiers.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://ztgate.invalid/image")
# UEFI specification 2.10 table 5.7, Discoverable Partitions Specification; in an MBR: FAT32 with LBA, Linux.
ROOT_TYPES = {
    "amd64": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "arm64": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
}
GPT_TYPES = {
    "bios-boot": "21686148-6449-6E6F-744E-656564454649",
    "firmware": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
}
MBR_TYPES = {"firmware": "c", "root": "83"}


def identifier(image: Image, role: str) -> str:
    """A UUID for a part of an image; images of another name or date have others."""
    return str(uuid.uuid5(NAMESPACE, f"{image.name} {image.date} {role}"))


@dataclass(frozen=True)
class Place:
    """A partition on the disk; offset and size in bytes."""

    partition: Partition
    number: int
    offset: int
    size: int
    partuuid: str
    uuid: str  # of its file system

    @property
    def volume_id(self) -> str:
        """FAT's shorter identifier: 8 hexadecimal digits."""
        return self.uuid[:8]


def identifiers(image: Image) -> dict[str, dict[str, str]]:
    """What templates know of partitions, by name: `partuuid`, `uuid` (as fstab has it), `label`, `mount`."""
    known = {}
    for number, part in enumerate(image.partitions, 1):
        fs = identifier(image, f"{part.name} filesystem")
        fat = f"{fs[:4]}-{fs[4:8]}".upper()
        known[part.name] = {
            "partuuid": _partuuid(image, part, number),
            "uuid": fat if part.type == "firmware" else fs,
            "label": part.label,
            "mount": part.mount,
        }
    return known


def _disk_id(image: Image) -> str:
    """A GPT's UUID, or an MBR's 32 bits."""
    whole = identifier(image, "disk")
    return whole if image.table == "gpt" else whole[:8]


def _partuuid(image: Image, part: Partition, number: int) -> str:
    """As the kernel and udev name it; an MBR has none, and they make one from its own and the number."""
    return identifier(image, part.name) if image.table == "gpt" else f"{_disk_id(image)}-{number:02x}"


def content_size(members: Iterable[Member]) -> int:
    """What these take on ext4, in bytes: whole blocks, and an inode each."""
    total = 0
    for member in members:
        total += 256 + (BLOCK if member.kind == DIRECTORY else -(-member.size // BLOCK) * BLOCK)
    return total


def root_size(content: int) -> int:
    """Room for the content, a quarter more but 300 MiB at least, and ext4's own 5 %."""
    wanted = int((content + max(content // 4, SPARE_MIN)) * 1.05)
    return -(-wanted // MIB) * MIB


def places(image: Image, root: int) -> list[Place]:
    """Partitions one after the other; the root's size, in bytes, is the caller's to know."""
    offset, result = START[image.table], []
    for number, part in enumerate(image.partitions, 1):
        size = root if part.type == "root" else size_in_bytes(part.size) or 0
        fs = identifier(image, f"{part.name} filesystem")
        result.append(Place(part, number, offset, size, _partuuid(image, part, number), fs))
        offset += size
    return result


def disk_size(placed: list[Place]) -> int:
    """The whole disk."""
    return placed[-1].offset + placed[-1].size + BACKUP


def sfdisk_script(image: Image, placed: list[Place]) -> str:
    """The partition table in sfdisk's own language."""
    gpt = image.table == "gpt"
    types = {**GPT_TYPES, "root": ROOT_TYPES[image.architecture]} if gpt else MBR_TYPES
    lines = [f"label: gpt\nlabel-id: {_disk_id(image)}\nfirst-lba: 34\n"]
    if not gpt:
        lines = [f"label: dos\nlabel-id: 0x{_disk_id(image)}\n"]
    for p in placed:
        named = f', uuid={p.partuuid}, name="{p.partition.name}"' if gpt else ""
        place = f"start={p.offset // SECTOR}, size={p.size // SECTOR}"
        lines.append(f"{place}, type={types[p.partition.type]}{named}")
    return "\n".join(lines) + "\n"


def template_context(image: Image) -> Mapping[str, object]:
    """The part of a template's values that the definition alone gives."""
    return {"image": image, "partitions": identifiers(image)}
