"""What `flash` refuses, asks and says, without a disk; tests/image/test_flash_devices.py has the disks."""

import dataclasses
import errno
import io
import json
import os
import re
import struct
import sys
from pathlib import Path

import pytest

import build
from builder import blockdev, blockmap, flash
from builder.blockdev import Disk, Part, Use
from builder.blockmap import BlockMap
from builder.bytebar import ByteBar
from builder.errors import BuildError
from builder.flash import Order

MIB = 1 << 20
IMAGES = Path(__file__).resolve().parents[3] / "images"
CARD = Disk(
    "/dev/sdb",
    "SanDisk Ultra",
    32_000_000_000,
    512,
    True,
    "usb",
    False,
    (Part("/dev/sdb1", 268_435_456),),
    (),
)
MOUNTED = Use("/dev/sdb1", "mounted", "/mnt")
ORDER = Order("x.img", "/dev/sdb")


def content(head: bytes, size: int = 8 * MIB) -> BlockMap:
    return BlockMap(Path("x.img"), size, "", head, ())


def an_image(*partitions: tuple[int, int], size: int = 8 * MIB) -> BlockMap:
    """An image with an MBR; partitions in sectors."""
    table = b"".join(struct.pack("<B3xB3xII", 0, 0x83, *entry) for entry in partitions)
    return content(bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa", size)


@pytest.mark.parametrize(
    ("changes", "order", "message", "hint"),
    [
        ({"uses": (MOUNTED,)}, {}, "/dev/sdb: /dev/sdb1 is mounted on /mnt", "umount"),
        ({"size": 0}, {}, "/dev/sdb: there is no card in it", "flash lists"),
        ({"read_only": True}, {}, "/dev/sdb: it is read-only", "switch"),
        (
            {"removable": False, "bus": ""},
            {},
            "/dev/sdb (SanDisk Ultra, 32.0 GB) is no disk that can be taken out",
            "--not-removable",
        ),
        (
            {"removable": False, "bus": "", "read_only": True},
            {"not_removable": True},
            "/dev/sdb: it is read-only",
            "switch",
        ),
        ({"sector": 4096}, {}, "/dev/sdb: its sectors have 4096 bytes", "another disk"),
        (
            {"read_only": True},
            {"device": "/dev/disk/by-id/usb-x"},
            "/dev/disk/by-id/usb-x (/dev/sdb): it is read-only",
            "switch",
        ),
    ],
)  # fmt: skip
def test_a_disk_is_refused(
    changes: dict[str, object], order: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(BuildError) as e:
        flash.refuse_disk(
            dataclasses.replace(CARD, **changes),  # type: ignore[arg-type]
            dataclasses.replace(ORDER, **order),  # type: ignore[arg-type]
        )
    assert e.value.message.startswith(message)
    assert hint in e.value.hint


@pytest.mark.parametrize(
    ("changes", "not_removable"),
    [
        ({}, False),
        ({"removable": False}, False),  # USB disks seldom say that they can be taken out
        ({"removable": False, "bus": "mmc"}, False),
        ({"removable": False, "bus": ""}, True),
    ],
)
def test_a_disk_is_taken(changes: dict[str, object], not_removable: bool) -> None:
    order = dataclasses.replace(ORDER, not_removable=not_removable)
    flash.refuse_disk(dataclasses.replace(CARD, **changes), order)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "disk_size", "message"),
    [
        (content(b""), MIB, "x.img: no disk image: it ends too soon"),
        (content(bytes(MIB)), MIB, "x.img: no disk image: it has no partition table"),
        (an_image(), MIB, "x.img: no disk image: its partition table is empty"),
        (
            an_image((2048, 4096), (6144, 2**15)),
            32 * MIB,
            "x.img: cut short: its partitions end at 19922944 bytes, and it at 8388608",
        ),
        (
            an_image((2048, 4096)),
            8 * MIB - 512,
            "/dev/sdb is too small: it has 8 MB (8388096 bytes), and x.img needs 8 MB (8388608 bytes)",
        ),
    ],
)  # fmt: skip
def test_an_image_is_refused(image: BlockMap, disk_size: int, message: str) -> None:
    with pytest.raises(BuildError) as e:
        flash.refuse_image(image, dataclasses.replace(CARD, size=disk_size), ORDER)
    assert e.value.message == message
    assert e.value.hint


def test_an_image_that_just_fits() -> None:
    flash.refuse_image(an_image((2048, 14336)), dataclasses.replace(CARD, size=8 * MIB), ORDER)


@pytest.mark.parametrize(
    ("files", "typed", "found"),
    [
        (["out/vps-amd64.img"], "vps-amd64", "out/vps-amd64.img"),
        (["out/vps-amd64.img.xz"], "vps-amd64", "out/vps-amd64.img.xz"),
        (["out/vps-amd64.img.xz", "out/vps-amd64.img"], "vps-amd64", "out/vps-amd64.img"),
        (["mine.img.zst"], "mine.img.zst", "mine.img.zst"),
        (["dir/mine"], "dir/mine", "dir/mine"),
    ],
)
def test_where_an_image_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], typed: str, found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert flash.find_image(typed, Path("out"), IMAGES) == Path(found)


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("vps-amd64", "vps-amd64 is not built yet", "./build.py build vps-amd64"),
        ("vps-amd46", "there is no image 'vps-amd46'; nearest: vps-amd64", "./build.py list"),
        ("no.img", "no.img: there is no such file", "./build.py list"),
        ("./no", "./no: there is no such file", "./build.py list"),
    ],
)
def test_where_no_image_is(tmp_path: Path, typed: str, message: str, hint: str) -> None:
    with pytest.raises(BuildError) as e:
        flash.find_image(typed, tmp_path, IMAGES)
    assert e.value.message == message
    assert e.value.hint.startswith(hint)


def test_the_list() -> None:
    assert "plug in" in flash.listing([])
    used = dataclasses.replace(CARD, model="", uses=(MOUNTED,))
    assert flash.listing([CARD, used]).splitlines() == [
        "/dev/sdb  SanDisk Ultra  32.0 GB  usb",
        "/dev/sdb  (no name)  32.0 GB  usb",
        "    /dev/sdb1 is mounted on /mnt",
    ]


@pytest.mark.parametrize(
    ("disks", "hint"),
    [
        ([], "plug one in, then ./build.py flash x.img /dev/sdX"),
        ([CARD], "./build.py flash x.img /dev/sdb"),
        ([CARD, CARD], "./build.py flash x.img /dev/sdX"),
    ],
)
def test_the_command_line_without_a_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    disks: list[Disk],
    hint: str,
) -> None:
    monkeypatch.setattr(blockdev, "disks", lambda: disks)
    monkeypatch.chdir(tmp_path)
    Path("x.img").touch()
    assert build.main(["flash"]) == 0
    assert capsys.readouterr().out == flash.listing(disks) + "\n"
    assert build.main(["flash", "--json"]) == 0
    assert [d["path"] for d in json.loads(capsys.readouterr().out)["disks"]] == [d.path for d in disks]
    assert build.main(["flash", "x.img"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(f"error: flash x.img to which disk?\nhint:  {hint}\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["yes\n", " YES \n"])
def test_a_yes(answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    flash.ask(CARD, an_image(size=2_600_000_000))
    assert capsys.readouterr().err == (
        "/dev/sdb  SanDisk Ultra  32.0 GB  usb\n"
        "    /dev/sdb1  268 MB\n"
        "All that is on it will be lost: x.img (2.6 GB) is written over it.\n"
        "Type yes to go on: "
    )


@pytest.mark.parametrize("answer", ["y\n", "no\n", "\n", ""])
def test_no_yes(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(BuildError, match="no yes, so nothing was written"):
        flash.ask(CARD, an_image())


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with pytest.raises(BuildError, match="/dev/sdb is not overwritten without a yes") as e:
        flash.ask(CARD, an_image())
    assert e.value.hint == "--yes says it beforehand"


@pytest.mark.parametrize(
    ("number", "message", "hint"),
    [
        (errno.EACCES, "no permission to write to it", "put sudo before the command"),
        (errno.EBUSY, "another program uses it", "lsblk /dev/sdb or sudo fuser -v /dev/sdb shows which"),
        (errno.ENOMEDIUM, "there is no card in it", "./build.py flash lists the disks that can be taken out"),
        (errno.ENXIO, "No such device or address", "plug it in again"),
    ],
)
def test_a_disk_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, number: int, message: str, hint: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BuildError) as e:
        flash.Target("/dev/sdb", "/dev/sdb")
    assert (e.value.message, e.value.hint) == (f"/dev/sdb: {message}", hint)


def test_a_log_gets_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with ByteBar() as bar:
        bar.begin("checking the image", None)
        bar.advance(blockmap.BLOCK)
        bar.begin("writing", 1_000_000_000)
        for _ in range(40):
            bar.advance(25_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["  checking the image: begins", "  writing: begins"]
    assert len(lines) == 12
    assert re.fullmatch(r"  writing: 10 %, 100 MB of 1\.0 GB, \S+ [MG]B/s, \d+ s left", lines[2])
    assert lines[-1].startswith("  writing: 100 %, 1.0 GB of 1.0 GB")
