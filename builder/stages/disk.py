"""The disk: partition table, FAT and ext4 file systems and boot code, all written to a plain sparse file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from builder import layout
from builder.image import Image
from builder.inputs import Inputs, file_digest, files_below, source_inputs
from builder.layout import SECTOR, Place
from builder.stages import BOOT_SECTOR, CORE, FAT, Work
from builder.tools import Tools

SOURCES = ["stages/disk.py", "layout.py", "tools.py"]
JOURNAL = 32  # MiB; the default for so small a root would stay too small when it has grown
PIECE = 1 << 20  # bytes


@dataclass(frozen=True)
class DiskStage:
    """disk.img and its sha256, from the root file system's tar and what the stage `boot` has made."""

    image: Image
    epoch: int
    name: str = "disk"
    needs: tuple[str, ...] = ("tools", "rootfs", "boot")

    def inputs(self) -> Inputs:
        """Partitions and identifiers."""
        return {
            "partitions": tuple(p.line for p in self.image.partitions),
            "partition table": self.image.table,
            "image name and date": f"{self.image.name} {self.image.date}",
            "date": str(self.epoch),
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """Nothing of the host is needed: the tools are our own."""

    def run(self, work: Work) -> None:
        """Size it, then write one part after the other."""
        tools = Tools(work.artifacts["tools"] / "tree", self.epoch)
        tar, boot = work.artifacts["rootfs"] / "rootfs.tar", work.artifacts["boot"]
        placed = layout.places(self.image, layout.content_size(tar))
        disk = work.out / "disk.img"
        with disk.open("wb") as f:
            f.truncate(layout.disk_size(placed))
        of = {place.partition.type: place for place in placed}
        self._table(tools, disk, placed)
        if "bios-boot" in of:
            copy_into(disk, 0, boot / BOOT_SECTOR)
            copy_into(disk, of["bios-boot"].offset, boot / CORE)
        fat = work.out / "fat.img"
        make_fat(tools, fat, of["firmware"], [work.artifacts["rootfs"] / "firmware", boot / FAT])
        copy_into(disk, of["firmware"].offset, fat)
        fat.unlink()
        self._root(tools, disk, of["root"], tar)
        (work.out / "sha256").write_text(file_digest(disk))

    def _table(self, tools: Tools, disk: Path, placed: list[Place]) -> None:
        quiet = ("--quiet", "--no-reread", "--no-tell-kernel", "--lock=no", "--wipe=never")
        script = layout.sfdisk_script(self.image, placed)
        tools.run("usr/sbin/sfdisk", *quiet, disk, stdin=script.encode())

    def _root(self, tools: Tools, disk: Path, root: Place, tar: Path) -> None:
        # mke2fs heeds its last -E only.
        extended = {
            "offset": str(root.offset),
            "hash_seed": root.uuid,
            "root_owner": "0:0",
            "lazy_itable_init": "0",
            "lazy_journal_init": "0",
        }
        tools.run(
            "usr/sbin/mke2fs",
            *("-q", "-F", "-t", "ext4", "-b", str(layout.BLOCK), "-m", "1", "-J", f"size={JOURNAL}"),
            *("-L", root.partition.label, "-U", root.uuid, "-d", tar),
            *("-E", ",".join(f"{k}={v}" for k, v in extended.items())),
            *(disk, f"{root.size // layout.BLOCK}"),
            env={"E2FSPROGS_FAKE_TIME": str(self.epoch)},
        )


def copy_into(disk: Path, offset: int, source: Path) -> None:
    """Write a file at an offset of a sparse one; where there are zeros, it stays sparse."""
    with disk.open("r+b") as out, source.open("rb") as file:
        while piece := file.read(PIECE):
            if any(piece):
                out.seek(offset)
                out.write(piece)
            offset += len(piece)


def make_fat(tools: Tools, target: Path, place: Place, trees: Iterable[Path]) -> None:
    """A FAT32 file system with the files of some trees in it."""
    with target.open("wb") as f:
        f.truncate(place.size)
    tools.run(
        "usr/sbin/mkfs.fat",
        *("--invariant", "-F", "32", "-s", "1", "-i", place.volume_id, "-n", place.partition.label),
        *("-h", str(place.offset // SECTOR), target),
    )
    files = {str(path.relative_to(tree)): path for tree in trees for path in files_below(tree)}
    made: set[str] = set()
    for name, path in sorted(files.items()):
        for parent in reversed([str(p) for p in Path(name).parents][:-1]):
            if parent not in made:
                tools.run("usr/bin/mmd", "-i", target, f"::{parent}")
                made.add(parent)
        os.utime(path, (tools.epoch, tools.epoch))
        tools.run("usr/bin/mcopy", "-m", "-i", target, path, f"::{name}")
