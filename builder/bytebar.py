"""How far a long copy is, on stderr: a bar for a person, a line now and then for a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from builder.blockdev import human

LINES = 10  # how many a log gets for one phase


class Watch(Protocol):
    """Who is told."""

    def begin(self, what: str, total: int | None) -> None:
        """A phase begins; its bytes, if they are known."""

    def advance(self, count: int) -> None:
        """So many bytes more."""


class ByteBar:
    """A Watch that shows bytes, rate and time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._what, self._total, self._done, self._began = "", 0, 0, 0.0

    def __enter__(self) -> ByteBar:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def begin(self, what: str, total: int | None) -> None:
        """A phase; the one before is over."""
        self._what, self._total, self._done, self._began = what, total or 0, 0, time.monotonic()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(what, total=total)
        if not self._console.is_terminal:
            self._console.print(f"  {what}: begins", soft_wrap=True)

    def advance(self, count: int) -> None:
        """Move the bar, or print a line when another tenth is done."""
        before, self._done = self._done, self._done + count
        for task in self._bar.task_ids:
            self._bar.advance(task, count)
        tenth = self._done * LINES // self._total if self._total else 0
        if not self._console.is_terminal and tenth > (before * LINES // self._total if self._total else 0):
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> str:
        rate = self._done / max(time.monotonic() - self._began, 1e-3)  # bytes a second
        left = (self._total - self._done) / rate
        return (
            f"  {self._what}: {self._done * 100 // self._total} %, {human(self._done)} of "
            f"{human(self._total)}, {human(int(rate))}/s, {left:.0f} s left"
        )
