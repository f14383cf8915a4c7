"""The packages' part of the root file system: nothing that says who a machine is, as a tar and as an ext4."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import dpkg, hygiene, layout, listing
from builder.errors import BuildError
from builder.files import copy_sparse
from builder.image import MIB, Image, size_in_bytes
from builder.inputs import Inputs, source_inputs
from builder.layer import ROOT
from builder.layout import Place
from builder.listing import Member
from builder.stages import MEMBERS, PACKAGES, ROOT_EXT4, ROOT_TAR, Work
from builder.tarfiles import members
from builder.tools import Tools

SOURCES = ["stages/system.py", "hygiene.py", "tarfiles.py", "listing.py", "dpkg.py", "layout.py", "tools.py"]
JOURNAL = 32  # MiB; the default for so small a root would stay too small when it has grown
STEP = 16 * MIB  # of what is laid over it: a line more in an overlay changes no size


@dataclass(frozen=True)
class SystemStage:
    """The long part of every image: whatever an overlay has, it stays as it is."""

    image: Image
    epoch: int
    laid: int  # bytes that will be laid over it, about
    name: str = "system"
    needs: tuple[str, ...] = ("tools", "own")

    @property
    def room(self) -> int:
        """Bytes that are kept for what is laid over it."""
        return -(-self.laid // STEP) * STEP

    def inputs(self) -> Inputs:
        """What is removed, and the file system's size and identifiers."""
        return {
            "removed paths": self.image.remove,
            "partitions": tuple(p.line for p in self.image.partitions),
            "image name and date": f"{self.image.name} {self.image.date}",
            "date": str(self.epoch),
            "room for overlays": f"{self.room // MIB} MiB",
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """Nothing of the host is needed: the tools are our own."""

    def run(self, work: Work) -> None:
        """Strip, list, and write the file system."""
        tools = Tools(work.artifacts["tools"] / "tree", self.epoch)
        tar, raw = work.out / ROOT_TAR, work.out / "raw"
        members = strip(work.artifacts["own"] / ROOT, tar, self.image.remove, self.epoch)
        listing.write(members, work.out / MEMBERS)
        status = listing.content(tar, members, dpkg.STATUS).decode()
        (work.out / PACKAGES).write_text(json.dumps(dict(sorted(dpkg.installed(status).items()))))
        said = size_in_bytes(self.image.partition("root").size)
        size = said or layout.root_size(layout.content_size(members) + self.room)
        root = next(p for p in layout.places(self.image, size) if p.partition.type == "root")
        make_ext4(tools, raw, root, tar, self.epoch)
        (work.out / ROOT_EXT4).touch()
        copy_sparse(raw, work.out / ROOT_EXT4)  # mke2fs writes zeros, of the journal for one
        raw.unlink()


def strip(packed: Path, target: Path, remove: tuple[str, ...], epoch: int) -> list[Member]:
    """Copy a tar without its leftovers; what it has then."""
    members = []
    with tarfile.open(packed) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out:
        for member in _kept(source, remove, epoch):
            out.addfile(member, source.extractfile(member) if member.isreg() else None)
            blocks = -(-member.size // tarfile.BLOCKSIZE) if member.isreg() else 0
            members.append(listing.member(member, out.offset - blocks * tarfile.BLOCKSIZE))
    return members


def _kept(source: tarfile.TarFile, remove: tuple[str, ...], epoch: int) -> Iterator[tarfile.TarInfo]:
    gone: set[str] = set()
    for path, member in members(source, epoch):
        if hygiene.is_leftover(path, remove):
            gone.add(path)
            continue
        target = member.linkname.removeprefix("./")
        if member.islnk() and target in gone:
            raise BuildError(f"/{path} is a hard link to /{target}, which the image removes")
        hygiene.check(path, member.size)
        yield member


def make_ext4(tools: Tools, target: Path, root: Place, tar: Path, epoch: int) -> None:
    """A file system with a tar's files in it."""
    with target.open("wb") as f:
        f.truncate(root.size)
    # mke2fs heeds its last -E only.
    extended = {
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
        *(target, f"{root.size // layout.BLOCK}"),
        env={"E2FSPROGS_FAKE_TIME": str(epoch)},
    )
