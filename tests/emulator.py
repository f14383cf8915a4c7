"""QEMU 10 for arm64 machines: this host's, or Debian 13's, downloaded once and run without being installed.

On the USB of QEMU 7.2's Raspberry Pi, Debian 13's own kernel (6.12) found no network adapter.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from builder.engine import resume
from builder.files import replacing
from builder.progress import Progress
from builder.run import run, which
from builder.stages.tools import ToolsStage
from builder.store import Store
from builder.tools import Tools

CACHE = Path(__file__).resolve().parent.parent / ".cache"
PROGRAM = "qemu-system-aarch64"
WANTED = 10
VERSION = re.compile(r"version (\d+)")


@dataclass(frozen=True)
class EmulatorStage(ToolsStage):
    """The tools tree once more, with QEMU in it."""

    name: str = "emulator"

    @property
    def packages(self) -> tuple[str, ...]:
        """QEMU, which brings its libraries."""
        return ("qemu-system-arm",)


def find(work: Path) -> Path:
    """A `qemu-system-aarch64` that is new enough; of Debian 13's a script in ``work`` that starts it."""
    host = which(PROGRAM)
    if host is not None and major(run([host, "--version"])) >= WANTED:
        return host
    store = Store(CACHE)
    with Progress() as progress, store.locked(lambda: progress.waiting("a build uses the cache")):
        _, made = resume([EmulatorStage()], store, progress)
    return script(made["emulator"] / "tree", work / PROGRAM)


def major(said: str) -> int:
    """The first part of the version that `--version` tells."""
    found = VERSION.search(said)
    return int(found[1]) if found else 0


def script(tree: Path, target: Path) -> Path:
    """A program that runs the tree's QEMU with the tree's own libraries."""
    words = Tools(tree, epoch=0).argv(f"usr/bin/{PROGRAM}", ["-L", tree / "usr/share/qemu"])
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, mode=0o777) as unfinished:
        unfinished.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
    return target
