"""Partition tables and boot code, as bytes."""

import datetime
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from builder import grub, layout, partitions
from builder.errors import BuildError
from builder.image import MIB, Image, Partition

PARTS = (
    Partition(name="bios", type="bios-boot", size="1M"),
    Partition(name="firmware", type="firmware", size="64M", label="ZTGATE", mount="/boot/firmware"),
    Partition(name="root", type="root", size="auto", label="r", mount="/"),
)


TYPES = {**layout.GPT_TYPES, "root": layout.ROOT_TYPES["amd64"]}


def image(name: str = "x", date: datetime.date = datetime.date(2026, 1, 2)) -> Image:
    return Image(
        name=name, architecture="amd64", suite="trixie", date=date, hostname="h", boot="grub",
        packages=(), overlays=(), partitions=PARTS,
    )  # fmt: skip


def test_partitions_lie_one_after_the_other_and_aligned() -> None:
    placed = layout.places(image(), 400 * MIB)
    assert [(p.number, p.offset // MIB) for p in placed] == [(1, 1), (2, 2), (3, 66)]
    assert all(p.size % MIB == 0 for p in placed)
    assert placed[2].size == 400 * MIB
    assert layout.disk_size(placed) == placed[2].offset + placed[2].size + MIB


def test_a_root_has_room_to_spare() -> None:
    assert layout.root_size(100 * MIB) >= (100 + 300) * MIB
    assert layout.root_size(4000 * MIB) >= 5000 * MIB


def test_identifiers_depend_on_the_definition_only() -> None:
    one = layout.identifiers(image())
    assert one == layout.identifiers(image())
    for other in (image("y"), image(date=datetime.date(2026, 1, 3))):
        assert not {p["partuuid"] for p in one.values()} & {
            p["partuuid"] for p in layout.identifiers(other).values()
        }


@pytest.mark.skipif(not shutil.which("sfdisk", path="/sbin:/usr/sbin"), reason="sfdisk is not installed")
def test_our_reader_understands_our_table(tmp_path: Path) -> None:
    placed, disk = layout.places(image(), 9 * MIB), tmp_path / "disk"
    with disk.open("wb") as f:
        f.truncate(layout.disk_size(placed))
    script = layout.sfdisk_script(image(), placed)
    subprocess.run(
        ["/sbin/sfdisk", "--quiet", disk], input=script, text=True, check=True, capture_output=True
    )
    with disk.open("rb") as f:
        read = partitions.read(f)
    assert [(p.type.upper(), p.offset, p.size) for p in read] == [
        (TYPES[p.partition.type], p.offset, p.size) for p in placed
    ]


def test_the_boot_sector_points_at_the_core_image() -> None:
    code = grub.boot_sector(bytes(range(256)) * 2, 2048)
    assert len(code) == 440  # the disk signature and the table come after it
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert code[0x66:0x68] == b"\x90\x90"
    assert code[:0x5C] == bytes(range(0x5C))


def test_the_core_image_knows_its_own_sectors() -> None:
    core = grub.placed_core(b"x" * 1300, 2048, MIB)
    assert len(core) == 3 * 512
    assert struct.unpack_from("<QHH", core, 500) == (2049, 2, 0x820)


def test_a_core_image_that_is_too_big() -> None:
    with pytest.raises(BuildError, match="the BIOS boot partition 512"):
        grub.placed_core(b"x" * 513, 2048, 512)


def mbr(*entries: tuple[int, int, int]) -> bytes:
    table = b"".join(struct.pack("<B3xB3xII", 0, *entry) for entry in entries)
    return bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends too soon"),
        (bytes(4096), "no partition table"),
        (mbr((0xEE, 1, 99)) + bytes(512), "damaged"),
        (mbr((0xEE, 1, 99)) + b"EFI PART" + bytes(504), "damaged"),
        (mbr((0xEE, 1, 99)), "ends too soon"),
    ],
)
def test_what_is_no_disk(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "d").write_bytes(data)
    with (tmp_path / "d").open("rb") as f, pytest.raises(partitions.NoTable, match=message):
        partitions.read(f)


def test_an_mbr_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(mbr((0x0C, 8192, 100), (0x83, 9000, 200)))
    with (tmp_path / "d").open("rb") as f:
        assert partitions.read(f) == [
            partitions.Part("0c", 8192 * 512, 100 * 512),
            partitions.Part("83", 9000 * 512, 200 * 512),
        ]
        assert partitions.fat_label(f, 1 << 20) == ""
