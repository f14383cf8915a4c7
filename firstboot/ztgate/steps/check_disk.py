"""Step: whether the disk still takes what is written to it.

A gateway goes on without: what it needs while it runs is in memory. People are told, as the next boot may be
the one that lacks something.
"""

from __future__ import annotations

import os

from .. import store
from ..machine import Machine

ENOUGH = 64 << 20  # bytes free: as much as the journal may take
FULL = "the disk is full: `df -h` and `du -xhd2 / | sort -h` show what fills it"
READ_ONLY = (
    "the disk is read-only, as one that dies makes itself: the gateway works on, and keeps nothing that "
    "changes; `dmesg | grep -i ext4` shows why, and a new card or disk is due"
)


def problem(read_only: bool, free: int) -> str:
    """What is wrong with it, "" if nothing is. free: bytes, for root."""
    if read_only:
        return READ_ONLY
    return FULL if free < ENOUGH else ""


def run(machine: Machine) -> None:
    """Say it on the consoles once a boot, and in the status as long as it is so."""
    found = os.statvfs(machine.paths.state_dir if machine.paths.state_dir.exists() else machine.paths.root)
    text = problem(bool(found.f_flag & os.ST_RDONLY), found.f_bfree * found.f_frsize)
    if not text:
        return
    mark = machine.paths.run_dir / "disk"
    if store.read_text(mark) != text and not machine.dry_run:
        store.write(mark, text.encode())
        machine.console.announce(f"warning: {text}")
    machine.warn(text)
