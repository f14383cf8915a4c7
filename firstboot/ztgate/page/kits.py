"""The member kit on the page: what each file is for, and the one line that uses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import facts

# File: for what, and a command with {page} for the page's address.
KNOWN = {
    "join.sh": ("Linux", "curl -fsS {page}join.sh | sudo sh"),
    "join-macos.sh": ("macOS", "curl -fsS {page}join-macos.sh | sudo sh"),
    "join.ps1": ("Windows (PowerShell as administrator)", "irm {page}join.ps1 | iex"),
    "openwrt.sh": ("OpenWrt router", "wget -qO- {page}openwrt.sh | sh"),
    "phones.txt": ("iPhone, iPad and Android", ""),
}


@dataclass(frozen=True)
class Row:
    """A file of the kit; command is "" for one that is read by people."""

    file: str
    what: str
    command: str


def names(folder: Path) -> tuple[str, ...]:
    """The files that are there."""
    kit = folder / facts.KIT
    return tuple(sorted(path.name for path in kit.iterdir())) if kit.is_dir() else ()


def rows(page: str, files: Iterable[str]) -> list[Row]:
    """Those that are known in their order, then others."""
    files = tuple(files)
    order = [name for name in KNOWN if name in files] + [name for name in files if name not in KNOWN]
    known = {name: KNOWN.get(name, (name, "curl -fsSO {page}" + name)) for name in order}
    return [Row(name, what, command.format(page=page)) for name, (what, command) in known.items()]
