"""`verify`: every kind of difference is named, with its part, its file, and where that is from."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Disk, tool

ROOT = Path(__file__).resolve().parents[2]
Planter = Callable[[Disk], None]


def verify(disk: Disk, original: Disk, *more: str) -> tuple[int, dict[str, Any]]:
    """Finished stages come from the cache: the comparison is what is tried here."""
    manifest = original.path.with_name(f"{original.name}.manifest.json")
    verb = [sys.executable, str(ROOT / "build.py"), "verify", str(disk.path), "--manifest", str(manifest)]
    done = subprocess.run([*verb, "--cached", "--json", *more], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def copied(disk: Disk, tmp_path: Path) -> Disk:
    target = tmp_path / disk.path.name
    tool("cp", "--sparse=always", disk.path, target)
    return Disk(target)


def turn(disk: Disk, offset: int) -> None:
    """Turn a bit of a byte."""
    with disk.path.open("r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1]))


def change(disk: Disk, request: str) -> None:
    tool("debugfs", "-w", "-R", request, disk.root.device)


def first_block(disk: Disk, path: str) -> int:
    """Where a file's content begins on the disk."""
    return disk.root.offset + 4096 * int(disk.root.ask(f'blocks "{path}"').split()[0])


def free_block(disk: Disk) -> int:
    found = re.search(rb"\d+", disk.root.ask("ffb 1"))
    assert found
    return disk.root.offset + 4096 * int(found[0])


def put(disk: Disk, name: str, content: bytes) -> None:
    tool(
        "mcopy", "-o", "-i", f"{disk.path}@@{disk.offset(disk.fat_number)}", "-", f"::{name}", content=content
    )


# What is done to an image; what verify says of it, as regular expressions with anything between.
PLANTED: dict[str, list[tuple[Planter, list[str]]]] = {
    "vps-amd64": [
        (lambda d: turn(d, 300), ["the boot code: byte 300", "grub-pc-bin, placed by stage boot"]),
        (lambda d: turn(d, 512 + 60), ["the partition table: byte 132", "stage disk"]),
        (
            lambda d: turn(d, 40 * 512),
            [r"between the partition table and partition 1 \(bios\): byte 3072", "nothing is written there"],
        ),
        (
            lambda d: turn(d, d.offset(1) + 700),
            [r"partition 1 \(bios\): byte 700", "GRUB's core image", "stage boot"],
        ),
        (
            lambda d: put(d, "README.txt", b"other"),
            [
                "partition 2",
                "/README.txt: other content, 5 bytes",
                "overlays/common/boot/firmware/README.txt",
            ],
        ),
        (
            lambda d: turn(d, first_block(d, "/usr/bin/nano")),
            ["partition 3", "/usr/bin/nano: other content; from the package nano [0-9.]+-", "stage base"],
        ),
        (
            lambda d: change(d, "sif /etc/nftables.conf mode 0100600"),
            [
                "/etc/nftables.conf: mode -rw------- instead of ",
                "overlays/common/etc/nftables.conf, stage rootfs",
            ],
        ),
        (
            lambda d: change(d, "sif /etc/debian_version mtime 20200101000000"),
            ["/etc/debian_version: time of change 2020-01-01 00:00:00 instead of", "package base-files"],
        ),
        (
            lambda d: change(d, f"write {__file__} /etc/more"),
            ["/etc/more: is there, and should not be", "no package has it"],
        ),
        (
            lambda d: change(d, "rm /usr/lib/ztgate/ztgate/run.py"),
            ["/usr/lib/ztgate/ztgate/run.py: is missing; from firstboot/, stage rootfs"],
        ),
    ],
    "rpi-arm64": [
        (lambda d: turn(d, 444), ["the partition table: byte 4 ", "stage disk"]),
        (
            lambda d: turn(d, 5000),
            [r"between the partition table and partition 1 \(firmware\): byte 4488", "nothing is written"],
        ),
        (
            lambda d: put(d, "config.txt", b"x"),
            ["partition 1", "/config.txt: other content, 1 bytes", "made by stage boot"],
        ),
        (
            lambda d: turn(d, free_block(d)),
            [r"partition 2 \(root\): byte", "free space, and no file; mke2fs, stage disk"],
        ),
    ],
}


def test_what_is_built_is_identical(disk: Disk) -> None:
    status, answer = verify(disk, disk)
    assert (status, answer["ok"], answer["differences"]) == (0, True, [])


def test_each_difference_is_named_and_no_other(disk: Disk, tmp_path: Path) -> None:
    planted = PLANTED[disk.name]
    other = copied(disk, tmp_path)
    for plant, _ in planted:
        plant(other)
    status, answer = verify(other, disk)
    assert (status, answer["ok"], answer["configured"]) == (1, False, False)
    left = list(answer["differences"])
    for _, parts in planted:
        fitting = [line for line in left if re.search(".*".join(parts), line)]
        assert len(fitting) == 1, (parts, answer["differences"])
        left.remove(fitting[0])
    assert left == []


def test_a_configured_image_is_recognized(vps: Disk, tmp_path: Path) -> None:
    other = copied(vps, tmp_path)
    put(other, "gateway.yaml", b"network: 8056c2e21c000001\n")
    status, answer = verify(other, vps)
    assert (status, answer["ok"], answer["configured"]) == (1, False, True)
    assert answer["differences"] == [
        "partition 2 (firmware): /gateway.yaml: is there, and should not be; no stage puts it there"
    ]
    turn(other, 300)
    status, answer = verify(other, vps)
    assert (status, answer["configured"], len(answer["differences"])) == (1, False, 2)
