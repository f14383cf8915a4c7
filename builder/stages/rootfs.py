"""What is laid over the packages: overlays, firstboot/, a baked-in configuration."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path

from builder import hygiene, listing
from builder.errors import BuildError
from builder.inputs import Inputs, digest, source_inputs
from builder.listing import DIRECTORY, HARD_LINK, Member
from builder.overlay import Overlays
from builder.stages import AGENT, FIRMWARE, LAID_TAR, MEMBERS, Work
from builder.tarfiles import DIRECTORY as USUAL
from builder.tarfiles import Entry, append, file_entry, with_parents

SOURCES = ["stages/rootfs.py", "hygiene.py", "overlay.py", "tarfiles.py"]


@dataclass(frozen=True)
class RootfsStage:
    """A small tar, and nothing else: a changed overlay costs this and the disk, and nothing before them."""

    overlays: Overlays
    epoch: int
    firmware: str  # where the FAT partition is mounted: what overlays put there goes beside the tar
    extra: Mapping[str, Entry] = field(
        default_factory=dict
    )  # a baked-in configuration, ZeroTier's apt source
    name: str = "rootfs"
    needs: tuple[str, ...] = ("agent", "system")

    def inputs(self) -> Inputs:
        """The overlays, and what templates see."""
        return {
            **self.overlays.inputs(),
            **{f"/{path}": digest(repr(astuple(entry)).encode()) for path, entry in self.extra.items()},
            "date": str(self.epoch),
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """Every template renders."""
        self.overlays.entries()

    def run(self, work: Work) -> None:
        """Collect, and compare with what is below."""
        agent = _below(work.artifacts["agent"] / "tree", AGENT)
        everything = {**_always(), **self.overlays.entries(), **agent, **self.extra}
        entries = self._without_firmware(everything, work.out / FIRMWARE)
        below = listing.read(work.artifacts["system"] / MEMBERS)
        with tarfile.open(work.out / LAID_TAR, "w", format=tarfile.PAX_FORMAT) as tar:
            append(tar, laid(entries, below), self.epoch)

    def _without_firmware(self, entries: Mapping[str, Entry], target: Path) -> dict[str, Entry]:
        """Write what belongs on the FAT partition to a directory, and return the rest."""
        below = self.firmware.strip("/") + "/"
        target.mkdir()
        for path, entry in entries.items():
            if path.startswith(below):
                file = target / path.removeprefix(below)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(entry.data)
        return {path: entry for path, entry in entries.items() if not path.startswith(below)}


def _always() -> dict[str, Entry]:
    # The .updated files tell systemd that hwdb, catalog and linker cache fit what is in /usr; each of these
    # costs a virtual machine without KVM some seconds at first boot.
    stamp = b"# Made with the image: see systemd-update-done.service(8).\n"
    return {
        "dev": Entry(USUAL, directory=True),
        hygiene.MACHINE_ID: Entry(0o444),
        "etc/.updated": Entry(0o644, stamp),
        "var/.updated": Entry(0o644, stamp),
    }


def _below(tree: Path, target: str) -> dict[str, Entry]:
    """A tree's files for the image; byte-code is part of it."""
    every = [p for p in sorted(tree.rglob("*")) if p.is_file() or p.is_symlink()]
    return {f"{target}/{p.relative_to(tree)}": file_entry(p) for p in every}


def laid(entries: Mapping[str, Entry], below: Mapping[str, Member]) -> dict[str, Entry]:
    """What has to be written over the packages' files, parents first.

    Raises:
        BuildError: a secret, or something that does not fit what is below.
    """
    for path, entry in entries.items():
        hygiene.check(path, len(entry.data))
    found = {}
    for path, entry in with_parents(entries).items():
        there = below.get(path)
        if there is not None:
            _check(path, entry, there)
        # A directory of ours is there for the sake of what is in it, unless it has a mode of its own.
        if there is None or not entry.directory or entry.mode != USUAL:
            found[path] = entry
    for member in below.values():
        if member.kind == HARD_LINK and member.target in found:
            raise BuildError(f"/{member.path} is a hard link to /{member.target}, which an overlay replaces")
    return found


def _check(path: str, entry: Entry, there: Member) -> None:
    if entry.directory and there.kind != DIRECTORY:
        raise BuildError(
            f"an overlay has a directory /{path}, which is a {there.kind} in the image",
            "put its files where the link leads (usr/bin and not bin)",
        )
    if not entry.directory and there.kind == DIRECTORY:
        raise BuildError(
            f"an overlay has a file /{path}, which is a directory in the image", "give it another name"
        )
