"""How a Raspberry Pi boots: its firmware, the kernel and the device trees on the FAT partition."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from builder.errors import BuildError
from builder.inputs import Inputs, digest, source_inputs
from builder.overlay import Overlays
from builder.run import run
from builder.stages import FAT, ROOT_TAR, Work
from builder.tarfiles import Entry

SCRIPT = "usr/libexec/ztgate-firmware"
# What the script reads of the root.
WANTED = (
    *("vmlinuz", "initrd.img", "boot/vmlinuz-*", "boot/initrd.img-*", SCRIPT),
    *("usr/lib/raspberry-pi/*.*", "usr/lib/modules/*/dtb/broadcom/*", "usr/share/ztgate/raspberry-pi/*"),
)


@dataclass(frozen=True)
class BootRaspberryPiStage:
    """fat/, made by the image's own script: what a kernel update does on the device is done here first."""

    overlays: Overlays
    name: str = "boot"
    needs: tuple[str, ...] = ("system",)

    def inputs(self) -> Inputs:
        """What the script reads of the overlays; the rest is the packages'."""
        laid = {f"/{path}": digest(repr(entry.data).encode()) for path, entry in self._laid().items()}
        return {**laid, **source_inputs(["stages/boot_raspberry_pi.py"])}

    def _laid(self) -> dict[str, Entry]:
        return {path: entry for path, entry in self.overlays.entries().items() if _is_wanted(path)}

    def verify(self) -> None:
        """Nothing of the host is needed but a shell."""

    def run(self, work: Work) -> None:
        """Unpack what the script needs, and let it do its work."""
        scratch, fat = work.out / "root", work.out / FAT
        _unpack(work.artifacts["system"] / ROOT_TAR, scratch)
        for path, entry in self._laid().items():
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / path).write_bytes(entry.data)
        if not (scratch / SCRIPT).exists():
            raise BuildError(f"the image has no /{SCRIPT}", "its definition needs the overlay rpi")
        fat.mkdir()
        run(["sh", scratch / SCRIPT, scratch, fat])
        shutil.rmtree(scratch)


def _unpack(tar: Path, target: Path) -> None:
    """Files and links only. (Debian 12's Python has no filter yet that keeps extractall in bounds.)"""
    with tarfile.open(tar) as packed:
        for member in packed:
            path = member.name.removeprefix("./")
            if not _is_wanted(path):
                continue
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                place.symlink_to(member.linkname)
            elif content := packed.extractfile(member):
                place.write_bytes(content.read())


def _is_wanted(path: str) -> bool:
    return any(fnmatchcase(path, wanted) for wanted in WANTED)
