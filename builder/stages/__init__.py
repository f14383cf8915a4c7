"""The steps of a build, one file each. What they have in common is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.inputs import Inputs

# What the stage `boot` makes for the stage `disk`.
FAT = "fat"  # a tree of files for the FAT partition
BOOT_SECTOR = "boot-sector"  # code for the disk's first sector
CORE = "core"  # content of the BIOS boot partition


@dataclass(frozen=True)
class Work:
    """What a running stage is given."""

    out: Path  # an empty directory; everything in it becomes the artifact
    artifacts: Mapping[str, Path]  # of the stages that it needs, by name
    line: Callable[[str], None]  # takes a line of a tool's output, for the progress display


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
