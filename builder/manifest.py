"""What is in an image and what it was made from, for out/IMAGE.manifest.json."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder.engine import StageResult
from builder.plan import Plan

STATUS = "./var/lib/dpkg/status"


def make(plan: Plan, stages: Sequence[StageResult], rootfs: Path, path: Path, sha256: str) -> dict[str, Any]:
    """Everything that says what the image is, and makes it again; no time and no path of this machine."""
    definition = dataclasses.asdict(plan.image)
    return {
        "image": path.name,
        "sha256": sha256,
        "size": path.stat().st_size,
        "date": plan.epoch,
        "definition": {k: str(v) if k == "date" else v for k, v in definition.items()},
        "zerotier": plan.package.described(),
        "stages": {stage.name: stage.id for stage in stages},
        "inputs": {stage.name: dict(stage.inputs) for stage in stages},
        "packages": packages(rootfs),
        "lock": plan.lock.described(),
    }


def packages(rootfs: Path) -> dict[str, str]:
    """The installed Debian packages and their versions, from dpkg's own list."""
    with tarfile.open(rootfs) as tar:
        file = tar.extractfile(STATUS)
        text = file.read().decode() if file else ""
    return dict(sorted(installed(text).items()))


def installed(status: str) -> dict[str, str]:
    """Packages and versions of a dpkg status file."""
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found
