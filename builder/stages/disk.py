"""The disk: partition table, FAT and ext4 file systems and boot code, all written to a plain sparse file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import grub, layout
from builder.image import Image
from builder.inputs import Inputs, file_digest, files_below, source_inputs
from builder.layout import SECTOR, Place
from builder.stages import Work
from builder.tools import Tools

SOURCES = ["stages/disk.py", "grub.py", "layout.py", "tools.py"]
JOURNAL = 32  # MiB; the default for so small a root would stay too small when it has grown


@dataclass(frozen=True)
class DiskStage:
    """disk.img and its sha256, from the root file system's tar."""

    image: Image
    epoch: int
    name: str = "disk"
    needs: tuple[str, ...] = ("tools", "rootfs")

    def inputs(self) -> Inputs:
        """Partitions and identifiers."""
        return {
            "partitions": tuple(repr(p) for p in self.image.partitions),
            "image name and date": f"{self.image.name} {self.image.date}",
            "date": str(self.epoch),
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """Nothing of the host is needed: the tools are our own."""

    def run(self, work: Work) -> None:
        """Size it, then write one part after the other."""
        tools = Tools(work.artifacts["tools"] / "tree", self.epoch)
        tar = work.artifacts["rootfs"] / "rootfs.tar"
        placed = layout.places(self.image, layout.content_size(tar))
        disk = work.out / "disk.img"
        with disk.open("wb") as f:
            f.truncate(layout.disk_size(placed))
        of = {place.partition.type: place for place in placed}
        self._table(tools, disk, placed)
        self._boot_code(tools, disk, of["bios-boot"], of["root"])
        self._firmware(tools, disk, of["esp"], of["root"], work.artifacts["rootfs"] / "firmware")
        self._root(tools, disk, of["root"], tar)
        (work.out / "sha256").write_text(file_digest(disk))

    def _table(self, tools: Tools, disk: Path, placed: list[Place]) -> None:
        quiet = ("--quiet", "--no-reread", "--no-tell-kernel", "--lock=no", "--wipe=never")
        script = layout.sfdisk_script(self.image, placed)
        tools.run("usr/sbin/sfdisk", *quiet, disk, stdin=script.encode())

    def _boot_code(self, tools: Tools, disk: Path, bios: Place, root: Place) -> None:
        core = disk.with_name("core.img")
        grub.make_loader(tools, "i386-pc", root.uuid, core)
        first = bios.offset // SECTOR
        boot_img = (tools.tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()
        with disk.open("r+b") as f:
            f.write(grub.boot_sector(boot_img, first))
            f.seek(bios.offset)
            f.write(grub.placed_core(core.read_bytes(), first, bios.size))
        core.unlink()

    def _firmware(self, tools: Tools, disk: Path, esp: Place, root: Place, tree: Path) -> None:
        fat, loader = disk.with_name("fat.img"), disk.with_name("loader.efi")
        grub.make_loader(tools, "x86_64-efi", root.uuid, loader)
        files = {str(p.relative_to(tree)): p.read_bytes() for p in files_below(tree)}
        files["EFI/BOOT/BOOTX64.EFI"] = loader.read_bytes()
        make_fat(tools, fat, esp, files)
        with disk.open("r+b") as f:
            f.seek(esp.offset)
            f.write(fat.read_bytes())
        fat.unlink()
        loader.unlink()

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


def make_fat(tools: Tools, target: Path, place: Place, files: Mapping[str, bytes]) -> None:
    """A FAT32 file system with files in it."""
    with target.open("wb") as f:
        f.truncate(place.size)
    tools.run(
        "usr/sbin/mkfs.fat",
        *("--invariant", "-F", "32", "-s", "1", "-i", place.volume_id, "-n", place.partition.label),
        *("-h", str(place.offset // SECTOR), target),
    )
    scratch = target.with_name("firmware-file")
    made: set[str] = set()
    for path, data in sorted(files.items()):
        for parent in reversed([str(p) for p in Path(path).parents][:-1]):
            if parent not in made:
                tools.run("usr/bin/mmd", "-i", target, f"::{parent}")
                made.add(parent)
        scratch.write_bytes(data)
        os.utime(scratch, (tools.epoch, tools.epoch))
        tools.run("usr/bin/mcopy", "-m", "-i", target, scratch, f"::{path}")
    scratch.unlink(missing_ok=True)
