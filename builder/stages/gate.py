"""The last step: nothing in the image may say who made it, or be a secret; see builder/gate.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from builder import gate, initrd
from builder.inputs import Inputs, digest, source_inputs
from builder.leaks import CONTENTS, Who
from builder.stages import FAT, Work
from builder.tools import Tools

SOURCES = ["stages/gate.py", "gate.py", "leaks.py", "hygiene.py", "initrd.py"]
INITRD = "boot/initrd.img-*"


@dataclass(frozen=True)
class GateStage:
    """report.json. It is no part of an image: whoever builds has another id here, and the same image."""

    who: Who
    known: tuple[str, ...] = ()  # the user's own secrets, as far as they are known
    allowed: tuple[str, ...] = ()  # what was baked in on purpose
    name: str = "gate"
    needs: tuple[str, ...] = ("tools", "rootfs", "boot", "disk")

    def inputs(self) -> Inputs:
        """What is looked for."""
        return {
            "who builds": digest(repr(self.who).encode()),
            "known secrets": digest("\n".join(self.known).encode()),
            "allowed": self.allowed,
            **source_inputs(SOURCES),
        }

    def verify(self) -> None:
        """grep is essential to every Debian."""

    def run(self, work: Work) -> None:
        """Search."""
        rootfs = work.artifacts["rootfs"]
        scratch = work.out / "initrd"
        members = gate.members(rootfs / "rootfs.tar")
        unpack_initrds(rootfs / "rootfs.tar", members, Tools(work.artifacts["tools"] / "tree", 0), scratch)
        report = gate.inspect(
            gate.Search(
                tar=rootfs / "rootfs.tar",
                members=members,
                fat=(rootfs / "firmware", work.artifacts["boot"] / FAT),
                initrd=scratch,
                disk=work.artifacts["disk"] / "disk.img",
                rules=(*CONTENTS, *self.who.rules()),
                known=tuple(secret.encode() for secret in self.known),
                allowed=self.allowed,
            )
        )
        scratch.unlink()
        listed = sorted({finding.line() for finding in report.on_purpose})
        (work.out / "report.json").write_text(json.dumps({"on_purpose": listed}))


def on_purpose(artifact: Path) -> tuple[str, ...]:
    """What a finished image holds because the user wanted it."""
    found: dict[str, list[str]] = json.loads((artifact / "report.json").read_text())
    return tuple(found["on_purpose"])


def unpack_initrds(tar: Path, members: Sequence[gate.Part], tools: Tools, target: Path) -> None:
    """All initrds of a root, one after the other."""
    with tar.open("rb") as root, target.open("wb") as out:
        for member in members:
            if fnmatchcase(member.name, INITRD) and member.size:
                root.seek(member.offset)
                initrd.unpack(root.read(member.size), tools, out, target.with_suffix(".zst"))
