"""What a stage depends on, as labelled digests; and why two of them differ, in words."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

# A label (`overlays/common/etc/hosts`, `packages`) to a digest, a short text, or a list of texts.
Value = str | tuple[str, ...]
Inputs = Mapping[str, Value]

LISTED = 4  # of a list's changes
SHOWN = 3  # differences that a reason names before it says "and n more"
IGNORED = {"__pycache__", ".gitkeep", ".gitignore"}


def digest(data: bytes) -> str:
    """Enough of a sha256 to tell inputs apart."""
    return hashlib.sha256(data).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """sha256 of a file of any size."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def files_below(tree: Path) -> list[Path]:
    """All files and symbolic links of a tree, sorted; without what git and Python leave in it."""
    found = [p for p in tree.rglob("*") if p.is_symlink() or p.is_file()]
    return sorted(p for p in found if not IGNORED & set(p.relative_to(tree).parts) and p.suffix != ".pyc")


def tree_inputs(tree: Path, label: str) -> dict[str, Value]:
    """A tree's files: content, target of links, and the executable bit (all that git keeps)."""
    return {f"{label}/{p.relative_to(tree)}": entry_digest(p) for p in files_below(tree)}


def entry_digest(path: Path) -> str:
    """One file or link as a tree has it."""
    if path.is_symlink():
        return digest(b"link " + str(path.readlink()).encode())
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    return digest((b"x " if executable else b"- ") + path.read_bytes())


def source_inputs(files: Iterable[str], root: Path = Path(__file__).parent) -> dict[str, Value]:
    """The builder's own modules that make a stage's artifact; comments do not count."""
    return {f"builder/{name}": digest(_code(root / name)) for name in files}


def _code(path: Path) -> bytes:
    """A module without its comments; by lines, because each Python has a syntax tree of its own."""
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#")).encode()


def identity(stage: str, inputs: Inputs) -> str:
    """The id of the artifact that a stage makes from these inputs."""
    return digest(json.dumps([stage, sorted(inputs.items())]).encode())


def difference(old: Inputs, new: Inputs) -> str:
    """Why an artifact of the old inputs does not serve: `overlays/x changed; packages: +tcpdump`."""
    said = [
        _changed(label, old.get(label), new.get(label))
        for label in sorted({*old, *new})
        if _plain(old.get(label)) != _plain(new.get(label))
    ]
    # What a person changed comes before what followed from it.
    said.sort(key=lambda text: text.startswith("stage "))
    more = len(said) - SHOWN
    return "; ".join(said[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def distance(old: Inputs, new: Inputs) -> int:
    """How many inputs are different."""
    return sum(_plain(old.get(label)) != _plain(new.get(label)) for label in {*old, *new})


def _plain(value: Value | None) -> object:
    return list(value) if isinstance(value, tuple | list) else value


def _changed(label: str, old: Value | None, new: Value | None) -> str:
    if new is None:
        return f"{label} is gone"
    if old is None:
        return f"{label} is new"
    if isinstance(new, str) or isinstance(old, str):
        return f"{label} changed"
    signs = [f"+{x}" for x in new if x not in old] + [f"-{x}" for x in old if x not in new]
    more = len(signs) - LISTED
    shown = " ".join(signs[:LISTED]) + (f" and {more} more" if more > 0 else "")
    return f"{label}: {shown or 'order changed'}"
