"""The disk: partition table, FAT and ext4 file systems and boot code, all written to a plain sparse file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from builder import layout, listing, patch
from builder.fat import make_fat
from builder.files import copy_into
from builder.image import Image
from builder.inputs import Inputs, source_inputs
from builder.layout import Place
from builder.stages import BOOT_SECTOR, CORE, DISK, FAT, FIRMWARE, LAID_TAR, MEMBERS, ROOT_EXT4, Work
from builder.tools import Tools

SOURCES = ["stages/disk.py", "fat.py", "files.py", "layout.py", "patch.py", "tools.py"]


@dataclass(frozen=True)
class DiskStage:
    """disk.img, from what all the others have made."""

    image: Image
    epoch: int
    name: str = "disk"
    needs: tuple[str, ...] = ("tools", "system", "rootfs", "boot")

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
        system, rootfs, boot = (work.artifacts[name] for name in ("system", "rootfs", "boot"))
        placed = layout.places(self.image, (system / ROOT_EXT4).stat().st_size)
        disk, scratch = work.out / DISK, work.out / "scratch"
        scratch.mkdir()
        with disk.open("wb") as f:
            f.truncate(layout.disk_size(placed))
        of = {place.partition.type: place for place in placed}
        self._table(tools, disk, placed)
        if "bios-boot" in of:
            copy_into(disk, 0, boot / BOOT_SECTOR)
            copy_into(disk, of["bios-boot"].offset, boot / CORE)
        fat = scratch / "fat.img"
        make_fat(tools, fat, of["firmware"], [rootfs / FIRMWARE, boot / FAT])
        copy_into(disk, of["firmware"].offset, fat)
        copy_into(disk, of["root"].offset, system / ROOT_EXT4)
        there = listing.read(system / MEMBERS)
        patch.apply(tools, disk, of["root"].offset, rootfs / LAID_TAR, there, scratch / "laid")
        shutil.rmtree(scratch)

    def _table(self, tools: Tools, disk: Path, placed: list[Place]) -> None:
        quiet = ("--quiet", "--no-reread", "--no-tell-kernel", "--lock=no", "--wipe=never")
        script = layout.sfdisk_script(self.image, placed)
        tools.run("usr/sbin/sfdisk", *quiet, disk, stdin=script.encode())
