"""How a virtual machine boots: GRUB for UEFI on the FAT partition, and on amd64 for a BIOS as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from builder import grub, layout
from builder.image import Image
from builder.inputs import Inputs, source_inputs
from builder.layout import SECTOR
from builder.stages import BOOT_SECTOR, CORE, FAT, Work
from builder.tools import Tools

SOURCES = ["stages/boot_grub.py", "grub.py", "layout.py", "tools.py"]


@dataclass(frozen=True)
class BootGrubStage:
    """fat/EFI/BOOT, boot-sector and core: GRUB finds the root by its UUID, and its menu there."""

    image: Image
    epoch: int
    name: str = "boot"
    needs: tuple[str, ...] = ("tools",)

    def inputs(self) -> Inputs:
        """What the identifiers are made of."""
        return {
            "partitions": tuple(p.line for p in self.image.partitions),
            "image name and date": f"{self.image.name} {self.image.date}",
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """Nothing of the host is needed: the tools are our own."""

    def run(self, work: Work) -> None:
        """Make the loaders."""
        tools = Tools(work.artifacts["tools"] / "tree", self.epoch)
        of = {place.partition.type: place for place in layout.places(self.image, 0)}  # the root is the last
        directory = work.out / FAT / "EFI/BOOT"
        directory.mkdir(parents=True)
        target, file = grub.REMOVABLE[self.image.architecture]
        grub.make_loader(tools, target, of["root"].uuid, directory / file)
        if "bios-boot" in of:
            self._bios(tools, of, work)

    def _bios(self, tools: Tools, of: Mapping[str, layout.Place], work: Work) -> None:
        first = of["bios-boot"].offset // SECTOR
        boot_img = (tools.tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()
        (work.out / BOOT_SECTOR).write_bytes(grub.boot_sector(boot_img, first))
        core = work.out / CORE
        grub.make_loader(tools, "i386-pc", of["root"].uuid, core)
        core.write_bytes(grub.placed_core(core.read_bytes(), first, of["bios-boot"].size))
