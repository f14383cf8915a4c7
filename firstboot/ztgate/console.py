"""One line on every console, each time that there is something new to say."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from . import store
from .paths import Paths

log = logging.getLogger("ztgate")


def plain(text: str) -> str:
    """Without what a terminal would obey: what is quoted may have been written by anybody."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")


class Console:
    """Remembers the last line over runs of one boot, so that the timer does not repeat it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.last = paths.run_dir / "console"

    def say(self, line: str) -> None:
        """Show `ztgate: <line>` unless that was the last line."""
        text = f"ztgate: {plain(' '.join(line.split()))}"
        log.info("%s", text)
        if store.read_text(self.last) == text:
            return
        store.write(self.last, text.encode())
        self._show(text)

    def announce(self, line: str) -> None:
        """Show something that has happened; how it stands, which say() has shown, is still so."""
        text = f"ztgate: {plain(' '.join(line.split()))}"
        log.info("%s", text)
        self._show(text)

    def _show(self, text: str) -> None:
        for device in self._devices():
            try:
                _print(device, text)
            except OSError as error:
                log.debug("console %s: %s", device, error)

    def _devices(self) -> list[Path]:
        names = (store.read_text(self.paths.consoles) or "").split()
        return [self.paths.root / "dev" / name for name in names]


def _print(device: Path, text: str) -> None:
    # NOCTTY: a service that takes a console as its terminal is hung up when getty comes to it.
    # NONBLOCK: a serial line that nobody listens to must not stop the gateway.
    descriptor = os.open(device, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        # A new line before it: a login prompt may stand there.
        os.write(descriptor, f"\r\n{text}\r\n".encode())
    finally:
        os.close(descriptor)
