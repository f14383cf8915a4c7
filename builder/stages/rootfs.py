"""The root file system as it will be: overlays, firstboot/, nothing that says who a machine is."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from builder import hygiene, overlay
from builder.errors import BuildError
from builder.inputs import Inputs, Value, digest, files_below, source_inputs, tree_inputs
from builder.stages import Work
from builder.tarfiles import DIRECTORY, Entry, append, file_entry, members, with_parents
from builder.tools import Tools

SOURCES = ["stages/rootfs.py", "hygiene.py", "overlay.py", "tarfiles.py"]
AGENT = "usr/lib/ztgate"  # where firstboot/ goes
FIRMWARE = "firmware"


@dataclass(frozen=True)
class RootfsStage:
    """One tar to another; a changed overlay costs this and the disk, and nothing before them."""

    overlays: Path
    layers: tuple[str, ...]
    firstboot: Path
    context: Mapping[str, Any]
    remove: tuple[str, ...]
    epoch: int
    firmware: (
        str  # mount point of the FAT partition: what overlays put there goes to firmware/ beside the tar
    )
    extra: Mapping[str, Entry] = field(
        default_factory=dict
    )  # a baked-in configuration, ZeroTier's apt source
    name: str = "rootfs"
    needs: tuple[str, ...] = ("tools", "zerotier")

    def inputs(self) -> Inputs:
        """The trees, what templates see, and what is removed."""
        trees: dict[str, Value] = tree_inputs(self.firstboot, "firstboot")
        for layer in self.layers:
            trees.update(tree_inputs(self.overlays / layer, f"overlays/{layer}"))
        return {
            **trees,
            **{f"/{path}": digest(repr(astuple(entry)).encode()) for path, entry in self.extra.items()},
            "values for templates": digest(repr(sorted(self.context.items())).encode()),
            "overlays": self.layers,
            "removed paths": self.remove,
            "date": str(self.epoch),
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """Every template renders."""
        overlay.verify(self.overlays, self.layers)
        overlay.collect(self.overlays, self.layers, self.context)

    def run(self, work: Work) -> None:
        """Stream the packages' files through, ours over them."""
        tools = Tools(work.artifacts["tools"] / "tree", self.epoch)
        laid = overlay.collect(self.overlays, self.layers, self.context)
        agent = compiled(self.firstboot, AGENT, work.out / "scratch", tools)
        entries = self._without_firmware({**_always(), **laid, **agent, **self.extra}, work.out / FIRMWARE)
        ours = with_parents(entries)
        merge(
            work.artifacts["zerotier"] / "rootfs.tar", work.out / "rootfs.tar", ours, self.remove, self.epoch
        )

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
        "dev": Entry(DIRECTORY, directory=True),
        hygiene.MACHINE_ID: Entry(0o444),
        "etc/.updated": Entry(0o644, stamp),
        "var/.updated": Entry(0o644, stamp),
    }


def compiled(source: Path, target: str, scratch: Path, tools: Tools) -> dict[str, Entry]:
    """A Python tree with its byte-code, which the image's own version of Python makes."""
    for path in files_below(source):
        copy = scratch / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy, follow_symlinks=False)
        os.utime(copy, (tools.epoch, tools.epoch))  # byte-code holds the time of its source
    if scratch.exists():
        # By size and time, not by hash: whoever mends a file on the appliance wants it to be read.
        tools.run(
            "usr/bin/python3.13",
            *("-m", "compileall", "-q", "-j1", "--invalidation-mode", "timestamp"),
            *("-s", str(scratch), "-p", f"/{target}", str(scratch)),
        )
    every = [p for p in sorted(scratch.rglob("*")) if p.is_file() or p.is_symlink()]
    entries = {f"{target}/{p.relative_to(scratch)}": file_entry(p) for p in every}
    shutil.rmtree(scratch, ignore_errors=True)
    return entries


def merge(packed: Path, target: Path, ours: Mapping[str, Entry], remove: tuple[str, ...], epoch: int) -> None:
    """Copy a tar without its leftovers; where a path is in `ours` as well, ours is taken."""
    left = dict(ours)
    for path, entry in left.items():
        hygiene.check(path, len(entry.data))
    with tarfile.open(packed) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out:
        for path, member in _kept(source, ours, remove, epoch):
            mine = left.pop(path, None)
            # A directory of ours is there for the sake of what is in it, unless it has a mode of its own.
            if mine is None or (mine.directory and member.isdir() and mine.mode == DIRECTORY):
                out.addfile(member, source.extractfile(member) if member.isreg() else None)
            else:
                append(out, {path: mine}, epoch)
        append(out, left, epoch)


def _kept(
    source: tarfile.TarFile, ours: Mapping[str, Entry], remove: tuple[str, ...], epoch: int
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    gone: set[str] = set()
    for path, member in members(source, epoch):
        if hygiene.is_leftover(path, remove) and path not in ours:
            gone.add(path)
            continue
        mine = ours.get(path)
        if mine is not None and mine.directory and not member.isdir():
            raise BuildError(
                f"an overlay has a directory /{path}, which is a link in the image",
                "put its files where the link leads (usr/bin and not bin)",
            )
        if member.islnk() and (
            member.linkname.removeprefix("./") in gone or member.linkname.removeprefix("./") in ours
        ):
            raise BuildError(
                f"/{path} is a hard link to /{member.linkname}, which the image replaces or removes"
            )
        if mine is None:
            hygiene.check(path, member.size)
        yield path, member
