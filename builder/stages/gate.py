"""The last step: nothing in the image may say who made it, or be a secret; see builder/gate.py."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from builder import gate, listing
from builder.files import sparse_digest
from builder.inputs import Inputs, digest, source_inputs
from builder.leaks import CONTENTS, Who
from builder.stages import DISK, FAT, FIRMWARE, LAID_TAR, Work

SHA256 = "sha256"
SOURCES = ["stages/gate.py", "gate.py", "leaks.py", "hygiene.py", "files.py"]


@dataclass(frozen=True)
class GateStage:
    """report.json, of all that `search` has not seen, and the disk's sha256, which takes as long."""

    who: Who
    known: tuple[str, ...] = ()  # the user's own secrets, as far as they are known
    allowed: tuple[str, ...] = ()  # what was baked in on purpose
    name: str = "gate"
    needs: tuple[str, ...] = ("rootfs", "boot", "search", "disk")

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
        """Search what is laid over the packages, the FAT partition, and every byte of the disk."""
        rootfs, disk = work.artifacts["rootfs"], work.artifacts["disk"] / DISK
        search = gate.Search(
            tar=rootfs / LAID_TAR,
            members=gate.parts(listing.of_tar(rootfs / LAID_TAR)),
            fat=(rootfs / FIRMWARE, work.artifacts["boot"] / FAT),
            disk=disk,
            rules=(*CONTENTS, *self.who.rules()),
            known=tuple(secret.encode() for secret in self.known),
            allowed=self.allowed,
        )
        with ThreadPoolExecutor(1) as beside:
            sha256 = beside.submit(sparse_digest, disk)
            report = gate.inspect(search)
        (work.out / SHA256).write_text(sha256.result())
        listed = sorted({finding.line() for finding in report.on_purpose})
        (work.out / "report.json").write_text(json.dumps({"on_purpose": listed}))


def on_purpose(artifact: Path) -> tuple[str, ...]:
    """What a finished image holds because the user wanted it."""
    found: dict[str, list[str]] = json.loads((artifact / "report.json").read_text())
    return tuple(found["on_purpose"])
