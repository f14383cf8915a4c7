"""Where a file of an image is from: an overlay, firstboot/, a package, or a stage of the build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.image import Image
from builder.stages import FAT

AGENT = "/usr/lib/ztgate/"
# What is no file of the root file system, by the part that it is in.
PARTS = {
    "code": "boot.img of Debian's grub-pc-bin, placed by stage boot",
    "bios-boot": "GRUB's core image, made of Debian's grub-pc-bin by stage boot",
    "table": "made by sfdisk of `partitions:` in the image's definition, stage disk",
    "gap": "nothing is written there",
    "firmware": "the FAT file system's own structures or free space, made by mkfs.fat and mcopy, stage disk",
}


@dataclass(frozen=True)
class Origins:
    """Looks it up in the repository, in what a build has left, and in dpkg's own lists."""

    image: Image
    root: Path  # of the repository
    boot: Path  # the artifact of stage boot
    owners: Mapping[str, str]  # path to Debian package
    versions: Mapping[str, str]
    base: frozenset[str]  # packages of that stage

    def of(self, kind: str, path: str) -> str:
        """In a few words, for a sentence."""
        if kind == "firmware" and path:
            return self._fat(path)
        if kind != "root":
            return PARTS.get(kind, "")
        return self._laid(path) or self._packaged(path)

    def _fat(self, path: str) -> str:
        mounted = self.image.partition("firmware").mount + path
        if laid := self._laid(mounted):
            return laid
        if (self.boot / FAT / path.lstrip("/")).exists():
            return "made by stage boot"
        return "no stage puts it there"

    def _laid(self, path: str) -> str:
        for layer in reversed(self.image.overlays):
            for suffix in ("", ".j2"):
                relative = f"overlays/{layer}{path}{suffix}"
                if (self.root / relative).is_file() or (self.root / relative).is_symlink():
                    return f"from {relative}, stage rootfs"
        if path.startswith(AGENT):
            return "from firstboot/, stage rootfs"
        if (self.root / f"overlays/bootstrap{path}").is_file():
            return f"from overlays/bootstrap{path}, stage base"
        return ""

    def _packaged(self, path: str) -> str:
        package = self.owners.get(path.lstrip("/"))
        if package is None:
            return "no package has it: a package's script makes it, stage base or own, or stage rootfs"
        stage = "base" if package in self.base else "own"
        return f"from the package {package} {self.versions.get(package, '')}, stage {stage}"
