"""An image definition as a page to read."""

from __future__ import annotations

import dataclasses
from typing import Any

from builder.image import Image, Partition, keys


def text(image: Image) -> str:
    """Every key with its value and what it means; from image.py's own words."""
    lines = [f"{image.name}: {image.description}", ""]
    for field in keys(Image):
        if field.name in ("name", "description"):
            continue
        value = getattr(image, field.name)
        lines.append(f"{field.name} ({field.metadata['help']})")
        lines += [f"    {item}" for item in _items(value)]
    return "\n".join(lines)


def plain(image: Image) -> dict[str, Any]:
    """The same for machines."""
    return {**dataclasses.asdict(image), "date": image.date.isoformat()}


def _items(value: object) -> list[str]:
    if not isinstance(value, tuple):
        return [str(value)]
    if all(isinstance(item, Partition) for item in value):
        return [_partition(i, item) for i, item in enumerate(value, 1)]
    return _wrapped([str(item) for item in value])


def _partition(number: int, part: Partition) -> str:
    said = [f"{number}  {part.name:9} {part.type:10} {part.size:6}"]
    said += [f"label {part.label}"] if part.label else []
    said += [f"on {part.mount}"] if part.mount else []
    return "  ".join(said)


def _wrapped(words: list[str], width: int = 90) -> list[str]:
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word}  "
    return [line.rstrip() for line in lines] if words else ["-"]
