"""A lock: every package of an image by version and sha256, ZeroTier's too; and what two locks differ in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.errors import BuildError
from builder.inputs import difference

FORMAT = 1


@dataclass(frozen=True, order=True)
class Pin:
    """One package, and where it lies below a mirror's address."""

    name: str
    architecture: str
    version: str
    sha256: str
    path: str

    @property
    def line(self) -> str:
        """All of it; none of these has a space in it."""
        return " ".join(dataclasses.astuple(self))

    @property
    def short(self) -> str:
        """For a sentence."""
        return f"{self.name} {self.version} ({self.architecture})"

    @property
    def input(self) -> str:
        """What of it makes a difference to what is built."""
        return f"{self.name}:{self.architecture}={self.version} {self.sha256[:16]}"


@dataclass(frozen=True)
class Wanted:
    """What a stage asks Debian for; the packages that these depend on come with them."""

    suite: str
    architectures: tuple[str, ...]  # the first one's programs are run, if any are
    packages: tuple[str, ...]  # NAME, NAME:ARCHITECTURE or NAME/SUITE
    components: tuple[str, ...] = ("main",)
    system: bool = False  # with all that Debian calls essential, and apt
    above: str = ""  # the stage whose packages are there already

    def inputs(self) -> dict[str, str | tuple[str, ...]]:
        """For comparisons."""
        return {
            **dataclasses.asdict(self),
            "packages": tuple(sorted(self.packages)),
            "system": str(self.system),
        }


@dataclass(frozen=True)
class ZerotierPin:
    """ZeroTier's package; the key if it came from the repository, which the image then has as a source."""

    version: str
    sha256: str
    key: str = ""


@dataclass(frozen=True)
class Lock:
    """By stage: what is asked for, and the packages that this comes to."""

    image: str
    wanted: Mapping[str, Wanted]
    pins: Mapping[str, tuple[Pin, ...]]
    mirror: str = ""  # of the image's own updates; empty: Debian's own
    zerotier: ZerotierPin | None = field(default=None)

    @property
    def every(self) -> tuple[Pin, ...]:
        """Each package once."""
        return tuple(sorted({pin for pins in self.pins.values() for pin in pins}))

    def misfit(self, wanted: Mapping[str, Wanted]) -> str:
        """Why it does not serve for what is asked for now; empty if it does."""
        old, new = (
            {f"{s} {k}": v for s, w in x.items() for k, v in w.inputs().items()}
            for x in (self.wanted, wanted)
        )
        return difference(old, new)

    def described(self) -> dict[str, Any]:
        """As JSON has it, one line for each package."""
        return {
            "format": FORMAT,
            "image": self.image,
            "mirror": self.mirror,
            "wanted": {stage: dataclasses.asdict(wanted) for stage, wanted in self.wanted.items()},
            "packages": {stage: [pin.line for pin in sorted(pins)] for stage, pins in self.pins.items()},
            "zerotier": dataclasses.asdict(self.zerotier) if self.zerotier else None,
        }

    def text(self) -> str:
        """The file."""
        return json.dumps(self.described(), indent=1) + "\n"


def parse(data: Any, label: str) -> Lock:
    """What described() has made."""
    try:
        if data["format"] != FORMAT:
            raise BuildError(f"{label}: format {data['format']}, where {FORMAT} is known", _again(label))
        wanted = {stage: _wanted(said) for stage, said in data["wanted"].items()}
        pins = {stage: tuple(_pin(line) for line in lines) for stage, lines in data["packages"].items()}
        zerotier = ZerotierPin(**data["zerotier"]) if data["zerotier"] else None
        if pins.keys() != wanted.keys() or (zerotier and not _is_sum(zerotier.sha256)):
            raise ValueError
        return Lock(str(data["image"]), wanted, pins, str(data["mirror"]), zerotier)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BuildError(
            f"{label} is damaged: it does not look like what `lock` writes", _again(label)
        ) from None


def _again(label: str) -> str:
    return f"./build.py lock {Path(label).stem} makes it anew" if label.endswith(".lock") else ""


def read(path: Path, label: str) -> Lock:
    """A lock file."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")), label)
    except ValueError:
        raise BuildError(f"{label} is damaged: no JSON", _again(label)) from None


def _wanted(said: Mapping[str, Any]) -> Wanted:
    lists = {key: tuple(said[key]) for key in ("architectures", "packages", "components")}
    above = said.get("above", "")
    return Wanted(suite=said["suite"], system=said["system"], above=above, **lists)


def _pin(line: str) -> Pin:
    pin = Pin(*line.split(" "))
    if not _is_sum(pin.sha256) or "/" in pin.name + pin.version:
        raise ValueError(line)
    return pin


def _is_sum(text: str) -> bool:
    """A sha256: it becomes the name of a file."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def changes(old: Lock | None, new: Lock) -> list[str]:
    """What a new lock has that the old one had not, in lines to read; the image's own packages first."""
    said = []
    for stage in sorted(new.pins, key=lambda name: (name != "base", name)):
        before = old.pins.get(stage, ()) if old else ()
        said += [f"{stage:8} {line}" for line in _changed(before, new.pins[stage])]
    if old and old.mirror != new.mirror:
        said.append(f"mirror   {old.mirror or 'none'} -> {new.mirror or 'none'}")
    was, now = (lock.zerotier if lock else None for lock in (old, new))
    if was != now:
        said.append(f"zerotier {_version(was)} -> {_version(now)}")
    return said


def _version(pin: ZerotierPin | None) -> str:
    return f"{pin.version} ({pin.sha256[:16]})" if pin else "none"


def _changed(old: Iterable[Pin], new: Iterable[Pin]) -> list[str]:
    before, after = ({(pin.name, pin.architecture): pin for pin in pins} for pins in (old, new))
    lines = []
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            lines.append(f"+ {now.short}")
        elif was is not None and now is None:
            lines.append(f"- {was.short}")
        elif was is not None and now is not None and was.version != now.version:
            lines.append(f"{now.name} {was.version} -> {now.version} ({now.architecture})")
        elif was is not None and now is not None and was.sha256 != now.sha256:
            lines.append(
                f"{now.short}: the same version with other content, {was.sha256[:16]} -> {now.sha256[:16]}"
            )
    return lines
