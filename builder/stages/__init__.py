"""The steps of a build, one file each. What they have in common is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.inputs import Inputs

# What the stage `boot` makes for the stage `disk`.
DISK = "disk.img"  # by the stage `disk`
FAT = "fat"  # a tree of files for the FAT partition
BOOT_SECTOR = "boot-sector"  # code for the disk's first sector
CORE = "core"  # content of the BIOS boot partition
# What `system` makes: the packages' files, what they are, and the root partition with them.
ROOT_TAR, ROOT_EXT4 = "root.tar", "root.ext4"
MEMBERS = "members.json"  # listing.py
PACKAGES = "packages.json"  # name to version
AGENT = "usr/lib/ztgate"  # where firstboot/ lies in an image
# What `rootfs` makes, to be laid over that; and what of it belongs on the FAT partition.
LAID_TAR, FIRMWARE = "laid.tar", "firmware"


@dataclass(frozen=True)
class Work:
    """What a running stage is given."""

    out: Path  # an empty directory; everything in it becomes the artifact
    artifacts: Mapping[str, Path]  # of the stages that it needs, by name
    line: Callable[[str], None]  # takes a line of a tool's output, for the progress display


def tars(artifacts: Mapping[str, Path]) -> tuple[Path, Path]:
    """The root file system: the packages' files, and those that are laid over them."""
    return artifacts["system"] / ROOT_TAR, artifacts["rootfs"] / LAID_TAR


class Stage(Protocol):
    """One step: the same inputs make the same artifact."""

    @property
    def name(self) -> str:
        """Its name, also of its directory in the cache."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages whose artifacts it reads."""

    def inputs(self) -> Inputs:
        """Everything else that its artifact depends on, its own source included."""

    def verify(self) -> None:
        """Look for whatever would make it fail, before any stage has begun."""

    def run(self, work: Work) -> None:
        """Make the artifact in work.out."""
