"""The member kit on the page: what each file is for, and the one line that uses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import facts

# File: for what, and a command with {page} for the page's address. The file stays: it undoes all of it later.
KNOWN = {
    "join.sh": ("Linux", "curl -fsSO {page}join.sh && sudo sh join.sh"),
    "join-macos.sh": ("macOS", "curl -fsSO {page}join-macos.sh && sudo sh join-macos.sh"),
    "join.ps1": (
        "Windows (PowerShell as administrator)",
        "curl.exe -fsSO {page}join.ps1; powershell -ExecutionPolicy Bypass -File join.ps1",
    ),
    "openwrt.sh": ("OpenWrt router", "wget -q {page}openwrt.sh && sh openwrt.sh"),
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
