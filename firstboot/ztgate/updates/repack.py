"""An installed package as a .deb again: the way back, when a mirror has dropped it.

Debian's security archive keeps the newest version only, and a card just flashed has no .deb of what
is on it. So what is about to be replaced is packed from its files, and no network is needed to have it back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..machine import Machine
from ..run import expect_success

# dpkg's own notes about an installed package, which are no part of one: deb-control(5), dpkg(1).
NOTES = ("Status", "Conffiles", "Config-Version", "Triggers-Pending", "Triggers-Awaited")
SECONDS = 600.0


def control(described: str) -> str:
    """A package's control file, from what `dpkg-query --status` says of it."""
    kept: list[str] = []
    skipping = False
    for line in described.strip().splitlines():
        if not line.startswith((" ", "\t")):
            skipping = line.partition(":")[0] in NOTES
        if not skipping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def files(listed: str) -> Iterator[tuple[str, str]]:
    """A package's paths and where each is, from `dpkg-query --listfiles`: others may have put one aside."""
    path = ""
    for line in listed.splitlines():
        if line.startswith("/"):
            if path:
                yield path, path
            path = "" if line == "/." else line
        elif line.startswith("diverted by ") and path:
            yield path, line.rpartition(" to: ")[2]
            path = ""
    if path:
        yield path, path


def pack(machine: Machine, name: str, target: Path) -> None:
    """Write a .deb of an installed package; CommandError when dpkg does not know it.

    What was left out of it when it was installed, or has been deleted since, is not in it.
    """
    tree = target.with_name(f".{target.name}.tree")
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True, mode=0o755)
    root = machine.paths.root
    for path, place in files(machine.run(("dpkg-query", "--listfiles", name))):
        _take(root / place.lstrip("/"), tree / path.lstrip("/"))
    _describe(machine, name, tree)
    # Not compressed: it is deleted soon, and a small machine has better things to do.
    argv = ("dpkg-deb", "--nocheck", "-Znone", "--build", str(tree), str(target))
    expect_success(argv, *machine.probe(argv, timeout=SECONDS))
    shutil.rmtree(tree)


def _describe(machine: Machine, name: str, tree: Path) -> None:
    """The folder DEBIAN: what the package is, and its scripts."""
    folder = tree / "DEBIAN"
    folder.mkdir(mode=0o755)
    (folder / "control").write_text(control(machine.run(("dpkg-query", "--status", name))), encoding="utf-8")
    for line in machine.run(("dpkg-query", "--control-path", name)).splitlines():
        source = Path(line)
        part = source.name.rpartition(".")[2]
        if part != "conffiles":
            shutil.copy2(source, folder / part)
            continue
        there = [row for row in source.read_text().splitlines() if os.path.lexists(tree / row.lstrip("/"))]
        (folder / part).write_text("".join(f"{row}\n" for row in there), encoding="utf-8")


def _take(source: Path, target: Path) -> None:
    """The same file under another name: no space is needed, and what replaces it leaves this one alone."""
    if source.is_dir() and not source.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        found = source.stat()
        os.chown(target, found.st_uid, found.st_gid)
        target.chmod(found.st_mode & 0o7777)
    elif os.path.lexists(source):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:  # on another file system
            shutil.copy2(source, target, follow_symlinks=False)
