"""How a Raspberry Pi boots: its firmware, the kernel and the device trees on the FAT partition."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from builder.errors import BuildError
from builder.inputs import Inputs, source_inputs
from builder.run import run
from builder.stages import FAT, Work

SCRIPT = "usr/libexec/ztgate-firmware"
# What the script reads of the root.
WANTED = (
    *("vmlinuz", "initrd.img", "boot/vmlinuz-*", "boot/initrd.img-*", SCRIPT),
    *("usr/lib/raspberry-pi/*.*", "usr/lib/modules/*/dtb/broadcom/*", "usr/share/ztgate/raspberry-pi/*"),
)


@dataclass(frozen=True)
class BootRaspberryPiStage:
    """fat/, made by the image's own script: what a kernel update does on the device is done here first."""

    name: str = "boot"
    needs: tuple[str, ...] = ("rootfs",)

    def inputs(self) -> Inputs:
        """The root file system has it all."""
        return source_inputs(["stages/boot_raspberry_pi.py"])

    def verify(self) -> None:
        """Nothing of the host is needed but a shell."""

    def run(self, work: Work) -> None:
        """Unpack what the script needs, and let it do its work."""
        scratch, fat = work.out / "root", work.out / FAT
        _unpack(work.artifacts["rootfs"] / "rootfs.tar", scratch)
        fat.mkdir()
        run(["sh", scratch / SCRIPT, scratch, fat])
        shutil.rmtree(scratch)


def _unpack(tar: Path, target: Path) -> None:
    """Files and links only. (Debian 12's Python has no filter yet that keeps extractall in bounds.)"""
    with tarfile.open(tar) as packed:
        for member in packed:
            path = member.name.removeprefix("./")
            if not any(fnmatchcase(path, wanted) for wanted in WANTED):
                continue
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                place.symlink_to(member.linkname)
            elif content := packed.extractfile(member):
                place.write_bytes(content.read())
    if not (target / SCRIPT).exists():
        raise BuildError(f"the image has no /{SCRIPT}", "its definition needs the overlay rpi")
