"""The last step: nothing in the image may say who made it, or be a secret; see builder/gate.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from builder import gate
from builder.inputs import Inputs, digest, source_inputs
from builder.leaks import CONTENTS, Who
from builder.run import streamed
from builder.stages import FAT, Work
from builder.tools import Tools

SOURCES = ["stages/gate.py", "gate.py", "leaks.py", "hygiene.py"]
INITRD = "boot/initrd.img-*"
ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878
TRAILER = b"TRAILER!!!"  # ends a cpio archive


@dataclass(frozen=True)
class GateStage:
    """report.json. It is no part of what an image is made of: whoever builds has another id, and the same image."""

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
        unpack_initrd(rootfs / "rootfs.tar", members, Tools(work.artifacts["tools"] / "tree", 0), scratch)
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


def unpack_initrd(tar: Path, members: Sequence[gate.Part], tools: Tools, target: Path) -> None:
    """The initrds of a root: each is a plain cpio archive, and behind it one that zstd has packed."""
    packed = target.with_suffix(".zst")
    with tar.open("rb") as root, target.open("wb") as out:
        for member in members:
            if not fnmatchcase(member.name, INITRD) or not member.size:
                continue
            root.seek(member.offset)
            data = root.read(member.size)
            start = data.find(ZSTD, max(data.find(TRAILER), 0))
            out.write(data if start < 0 else data[:start])
            if start >= 0:
                packed.write_bytes(data[start:])
                with streamed(tools.argv("usr/bin/zstd", ["-d", "-q", "-c", packed])) as unpacked:
                    shutil.copyfileobj(unpacked, out)
                packed.unlink()
