"""Where an image can go: each place is a small YAML file, with what it needs and who says so."""

# ruff: noqa: RUF009 (setting() makes a dataclass field, as field() does)
from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import yaml

from builder.errors import BuildError, nearest
from builder.image import FORMATS, setting
from builder.load import record

HERE = Path(__file__).parent
NEVER = datetime.date.min
# documented: the place's own page, read on that day; reported: somebody else, or a copy of unknown age;
# unverified: general knowledge, and where to look.
CONFIDENCE = ("documented", "reported", "unverified")
NEEDS = (
    *(
        "architecture",
        "firmware",
        "bios-on-amd64",
        "table",
        "root",
        "root-by-uuid",
        "drivers",
        "datasource",
        "order",
    ),
    *("packages", "files", "raw-below", "file-below"),
)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something without which an image does not start there, or is not taken."""

    need: str = setting("what is looked at in the image", choices=NEEDS)
    of: tuple[str, ...] = setting("which values are right", ())
    because: str = setting("the place's reason")
    source: str = setting("who says so")
    seen: datetime.date = setting("when that was read", NEVER)
    confidence: str = setting("how sure that is", choices=CONFIDENCE)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Something that the place will not give, whatever the image is."""

    says: str = setting("what, and what that means for a gateway")
    source: str = setting("who says so")
    seen: datetime.date = setting("when that was read", NEVER)
    confidence: str = setting("how sure that is", choices=CONFIDENCE)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A place."""

    name: str = setting("the file's name without .yaml")
    title: str = setting("its name for people")
    image: str = setting("the image that is for it")
    format: str = setting("the file that it takes", choices=FORMATS)
    tried: bool = setting("whether somebody has started a gateway there")
    needs: tuple[Need, ...] = setting("what the image must have")
    limits: tuple[Limit, ...] = setting("what the place will not give", ())
    guide: str = setting("its part of docs/clouds/, with commands")


def names() -> list[str]:
    """All places."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load(name: str) -> Target:
    """A place by its name; BuildError with the nearest one if there is none."""
    if name not in names():
        near = nearest(name.lower(), names())
        raise BuildError(f"there is no target {name!r}{near}", f"the targets are {', '.join(names())}")
    path = HERE / f"{name}.yaml"
    return record(Target, {**yaml.safe_load(path.read_text(encoding="utf-8")), "name": name}, path.name, "")
