"""The packages' part of an image, searched for what no image may give away; the gate looks at the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from builder import gate, initrd, listing
from builder.inputs import Inputs, digest, source_inputs
from builder.leaks import CONTENTS, Who
from builder.listing import Member
from builder.stages import MEMBERS, ROOT_TAR, Work
from builder.tools import Tools

SOURCES = ["stages/search.py", "gate.py", "leaks.py", "hygiene.py", "initrd.py"]
INITRD = "boot/initrd.img-*"


@dataclass(frozen=True)
class SearchStage:
    """Nothing but the fact that there is nothing. Whoever builds has another id here, and the same image."""

    who: Who
    name: str = "search"
    needs: tuple[str, ...] = ("tools", "system")

    def inputs(self) -> Inputs:
        """What is looked for."""
        return {"who builds": digest(repr(self.who).encode()), **source_inputs(SOURCES)}

    def verify(self) -> None:
        """grep is essential to every Debian."""

    def run(self, work: Work) -> None:
        """Search files and initrds."""
        system, scratch = work.artifacts["system"], work.out / "initrd"
        members = listing.read(system / MEMBERS).values()
        tools = Tools(work.artifacts["tools"] / "tree", 0)
        unpack_initrds(system / ROOT_TAR, members, tools, scratch)
        gate.inspect(
            gate.Search(
                tar=system / ROOT_TAR,
                members=gate.parts(members),
                initrd=scratch,
                rules=(*CONTENTS, *self.who.rules()),
            )
        )
        scratch.unlink()


def unpack_initrds(tar: Path, members: Iterable[Member], tools: Tools, target: Path) -> None:
    """All initrds of a root, one after the other."""
    with tar.open("rb") as root, target.open("wb") as out:
        for member in members:
            if fnmatchcase(member.path, INITRD) and member.size:
                root.seek(member.offset)
                initrd.unpack(root.read(member.size), tools, out, target.with_suffix(".zst"))
