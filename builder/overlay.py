"""Overlay trees: paths are those of the image; *.j2 is rendered, the rest copied byte for byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from builder.errors import BuildError
from builder.inputs import Value, digest, files_below, tree_inputs
from builder.tarfiles import Entry, file_entry

MODES = (
    ".modes"  # at an overlay's top: lines of `0600 path`, because git keeps nothing but the executable bit
)


@dataclass(frozen=True)
class Overlays:
    """An image's overlays and the values that their templates see."""

    root: Path
    layers: tuple[str, ...]
    context: Mapping[str, Any]

    def entries(self) -> dict[str, Entry]:
        """What they put where, rendered.

        Raises:
            BuildError: an overlay is missing, or a template is no good.
        """
        verify(self.root, self.layers)
        return collect(self.root, self.layers, self.context)

    def size(self) -> int:
        """Bytes, about: before templates are rendered."""
        return sum(p.lstat().st_size for layer in self.layers for p in files_below(self.root / layer))

    def inputs(self) -> dict[str, Value]:
        """Their files, their order, and the values."""
        trees = [tree_inputs(self.root / layer, f"overlays/{layer}") for layer in self.layers]
        return {
            **{label: value for tree in trees for label, value in tree.items()},
            "values for templates": digest(repr(sorted(self.context.items())).encode()),
            "overlays": self.layers,
        }


def collect(overlays: Path, names: Iterable[str], context: Mapping[str, Any]) -> dict[str, Entry]:
    """All entries of the named overlays by their paths in the image; a later overlay's win."""
    entries: dict[str, Entry] = {}
    for name in names:
        entries.update(_one(overlays / name, context))
    return entries


def paths(overlays: Path, names: Iterable[str]) -> set[str]:
    """Where the files of the named overlays come to lie."""
    files = ((tree, path) for tree in (overlays / name for name in names) for path in files_below(tree))
    return {str(path.relative_to(tree)).removesuffix(".j2") for tree, path in files}


def verify(overlays: Path, names: Iterable[str]) -> None:
    """Every overlay that a definition names is there."""
    for name in names:
        if not (overlays / name).is_dir():
            raise BuildError(f"there is no overlays/{name}", "see `overlays:` in images/*.yaml")


def _one(tree: Path, context: Mapping[str, Any]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for path in files_below(tree):
        target = str(path.relative_to(tree))
        if target == MODES:
            continue
        entry = file_entry(path)
        if path.suffix == ".j2" and not path.is_symlink():
            target = target.removesuffix(".j2")
            entry = dataclasses.replace(
                entry, data=render(path, f"overlays/{tree.name}/{target}.j2", context)
            )
        entries[target] = entry
    return {**entries, **_with_modes(tree / MODES, entries)}


def render(path: Path, label: str, context: Mapping[str, Any]) -> bytes:
    """One template; an unknown variable is an error that names the template."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    try:
        return environment.from_string(path.read_text(encoding="utf-8")).render(**context).encode()
    except jinja2.TemplateSyntaxError as e:
        raise BuildError(f"{label}:{e.lineno}: {e.message}") from None
    except jinja2.UndefinedError as e:
        raise BuildError(f"{label}: {e.message}", f"a template knows {', '.join(sorted(context))}") from None


def _with_modes(modes: Path, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    changed: dict[str, Entry] = {}
    lines = modes.read_text(encoding="utf-8").splitlines() if modes.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        label = f"overlays/{modes.parent.name}/{MODES}:{number}"
        try:
            digits, path = line.split()
            mode = int(digits, 8)
        except ValueError:
            raise BuildError(f"{label}: {line!r}: `0600 etc/path` is needed") from None
        entry = entries.get(path.strip("/"), Entry(mode, directory=True) if path.endswith("/") else None)
        if entry is None:
            raise BuildError(f"{label}: the overlay has no file {path}", "a directory's path ends with /")
        changed[path.strip("/")] = dataclasses.replace(entry, mode=mode)
    return changed
