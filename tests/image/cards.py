"""Loop devices over memory that fail where a test says, and a Watch that tells it when."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

from .conftest import tool

# <linux/loop.h>
LOOP_CTL_GET_FREE, LOOP_CONFIGURE = 0x4C82, 0x4C0A
READ_ONLY, AUTOCLEAR, PARTSCAN = 1, 4, 8


STALE = b"\xaa"  # what a used card is full of


class Card:
    """A loop device over memory; it is gone when the last program has closed it, whatever happens."""

    def __init__(self, size: int, sector: int = 512, flags: int = 0) -> None:
        self._memory = os.memfd_create("card", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.pwrite(self._memory, STALE * size, 0)
        info = struct.pack("<5Q4I", *[0] * 8, flags | AUTOCLEAR | PARTSCAN).ljust(232, b"\0")
        config = struct.pack("<II", self._memory, sector) + info + bytes(64)
        self.path = ""
        while not self.path:  # another program may take the number first
            with Path("/dev/loop-control").open("rb") as control:
                path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            self._device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(self._device, LOOP_CONFIGURE, config)
                self.path = path
            except OSError as e:
                os.close(self._device)
                if e.errno != errno.EBUSY:
                    raise

    def at(self, offset: int, size: int) -> bytes:
        """What is there now."""
        return os.pread(self._memory, size, offset)

    def break_from(self, offset: int) -> None:
        """From here on nothing can be read or written any more: EIO, as when it is pulled out or worn out."""
        os.ftruncate(self._memory, offset)
        fcntl.fcntl(self._memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)

    def damage(self, offset: int) -> None:
        """Turn a bit."""
        os.pwrite(self._memory, bytes([self.at(offset, 1)[0] ^ 1]), offset)

    def partition(self) -> str:
        """Have the kernel know a partition of 8 MiB, whatever the table says."""
        tool("addpart", self.path, "1", "2048", f"{8 * 2048}")
        return f"{self.path}p1"

    def close(self) -> None:
        os.close(self._device)
        os.close(self._memory)


class Hook:
    """A Watch in the bar's place, which acts at a phase's begin or after so many of its bytes."""

    def __init__(self, phase: str = "", after: int = 0, act: Callable[[], object] = lambda: None) -> None:
        self._wanted, self._after, self._act = phase, after, act
        self._phase, self._done = "", 0

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, what: str, total: int | None) -> None:
        self._phase, self._done = what, 0
        self.advance(0)

    def advance(self, count: int) -> None:
        self._done += count
        if self._phase == self._wanted and self._done >= self._after:
            self._wanted = ""
            self._act()
