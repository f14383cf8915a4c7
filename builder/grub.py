"""GRUB without its installer: loaders made by grub-mkimage, the BIOS one put in place byte by byte.

The addresses are those of GRUB's include/grub/i386/pc/boot.h and boot/i386/pc/diskboot.S: the boot sector has
the disk address of the core image's first sector, and that first sector has a list of where the rest is.
"""

from __future__ import annotations

import struct
from pathlib import Path

from builder.errors import BuildError
from builder.layout import SECTOR
from builder.tools import Tools

BOOT_CODE = 440  # bytes of the first sector before the disk signature and the table
KERNEL_SECTOR = 0x5C  # in boot.img: where the core image begins (8 bytes)
DRIVE_CHECK = 0x66  # in boot.img: a jump that a hard disk needs not; two NOPs there, as grub-bios-setup does
BLOCK_LIST = 500  # in the core image's first sector: start (8 bytes), sectors (2), segment (2)
LOAD_SEGMENT = 0x820  # where the second sector is loaded: 0x8200, after the first at 0x8000

EARLY = """\
search --no-floppy --fs-uuid --set=root {uuid}
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
COMMON = (
    *("part_gpt", "ext2", "fat", "search", "search_fs_uuid", "search_label"),  # to find the root
    *("normal", "configfile", "linux", "test", "true", "serial", "terminal", "all_video"),  # to boot from it
    "loadenv",  # to try a new kernel once
    *("ls", "cat", "echo", "sleep", "reboot", "halt", "minicmd"),  # for a person at its prompt
)
MODULES = {
    "i386-pc": [*COMMON, "biosdisk"],
    "x86_64-efi": [*COMMON, "efi_gop", "efi_uga"],
    "arm64-efi": [*COMMON, "efi_gop"],
}
# UEFI specification 2.10, section 3.5.1.1: what a firmware starts of a disk that it does not know.
REMOVABLE = {"amd64": ("x86_64-efi", "BOOTX64.EFI"), "arm64": ("arm64-efi", "BOOTAA64.EFI")}


def make_loader(tools: Tools, target: str, root_uuid: str, out: Path) -> None:
    """A boot loader (a key of MODULES) with all it needs inside; it finds the root by its UUID."""
    early = out.with_suffix(".cfg")
    early.write_text(EARLY.format(uuid=root_uuid), encoding="ascii")
    tools.run(
        "usr/bin/grub-mkimage",
        *("-O", target, "-d", tools.tree / "usr/lib/grub" / target),
        *("-p", "/boot/grub", "-c", early, "-o", out),
        *MODULES[target],
    )
    early.unlink()


def boot_sector(boot_img: bytes, core_sector: int) -> bytes:
    """boot.img's code for a disk whose core image begins at a sector."""
    code = bytearray(boot_img[:BOOT_CODE])
    struct.pack_into("<Q", code, KERNEL_SECTOR, core_sector)
    code[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    return bytes(code)


def placed_core(core: bytes, first_sector: int, room: int) -> bytes:
    """The core image with the list of its own sectors, filled up to whole ones."""
    sectors = -(-len(core) // SECTOR)
    if sectors * SECTOR > room:
        raise BuildError(f"GRUB's core image has {len(core)} bytes, the BIOS boot partition {room}")
    placed = bytearray(core.ljust(sectors * SECTOR, b"\0"))
    struct.pack_into("<QHH", placed, BLOCK_LIST, first_sector + 1, sectors - 1, LOAD_SEGMENT)
    return bytes(placed)
