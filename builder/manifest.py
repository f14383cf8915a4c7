"""What is in an image and what it was made from, for out/IMAGE.manifest.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder.engine import StageResult
from builder.plan import Plan


def make(plan: Plan, stages: Sequence[StageResult], packages: Path, disk: Path, sum_: str) -> dict[str, Any]:
    """Everything that says what the image is, and makes it again; no time and no path of this machine."""
    definition = dataclasses.asdict(plan.image)
    return {
        "image": disk.name,
        "sha256": sum_,
        "size": disk.stat().st_size,
        "date": plan.epoch,
        "definition": {k: str(v) if k == "date" else v for k, v in definition.items()},
        "zerotier": plan.package.described(),
        "stages": {stage.name: stage.id for stage in stages},
        "inputs": {stage.name: dict(stage.inputs) for stage in stages},
        "packages": json.loads(packages.read_text()),
        "lock": plan.lock.described(),
    }
