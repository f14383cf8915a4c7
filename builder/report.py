"""A finished build, for a person and for a machine."""

from __future__ import annotations

import json
from pathlib import Path

from builder.image import MIB
from builder.pipeline import Result
from builder.project import ROOT


def shown_path(path: Path) -> str:
    """Short where we stand in the repository, so that it can be pasted; absolute elsewhere."""
    path = path.absolute()
    inside = Path.cwd() == ROOT and path.is_relative_to(ROOT)
    return str(path.relative_to(ROOT)) if inside else str(path)


def as_json(result: Result) -> str:
    """One object: what `build --json` prints."""
    stages = [
        {"name": s.name, "id": s.id, "action": s.action, "reason": s.reason, "seconds": s.seconds}
        for s in result.stages
    ]
    return json.dumps(
        {
            "ok": True,
            "image": result.image.name,
            "path": shown_path(result.path),
            "size": result.size,
            "sha256": result.sha256,
            "manifest": shown_path(result.manifest),
            "zerotier": result.package.described(),
            "packages": result.packages,
            "secret": result.secret,
            "on_purpose": list(result.on_purpose),
            "stages": stages,
            "seconds": result.seconds,
        }
    )


def as_text(result: Result) -> str:
    """What is there now, and what to do with it."""
    path, package = shown_path(result.path), result.package
    lines = [
        f"{path}  {result.size // MIB} MiB  sha256 {result.sha256[:16]}…  in {result.seconds} s",
        f"ZeroTier {package.version}"
        + ("  A STAND-IN, for the lab only: it reaches no real network" if package.stand_in else ""),
    ]
    lines.append(f"Debian's packages: {result.packages}")
    if result.secret:
        lines.append(
            "The configuration is baked in: the image is as secret as its token, and only you can read it."
        )
        lines += [f"  in it on purpose: {line}" for line in result.on_purpose]
    else:
        lines.append(f"next: ./build.py configure {path} --config gateway.yaml")
    return "\n".join(lines)
