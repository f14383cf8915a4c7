"""One line on every console, each time that there is something new to say."""

from __future__ import annotations

import logging
from pathlib import Path

from . import store
from .paths import Paths

log = logging.getLogger("ztgate")


class Console:
    """Remembers the last line over runs of one boot, so that the timer does not repeat it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.last = paths.run_dir / "console"

    def say(self, line: str) -> None:
        """Show `ztgate: <line>` unless that was the last line."""
        text = f"ztgate: {' '.join(line.split())}"
        log.info("%s", text)
        if store.read_text(self.last) == text:
            return
        store.write(self.last, text.encode())
        for device in self._devices():
            try:
                # A new line before it: a login prompt may stand there.
                with device.open("w", encoding="utf-8") as console:
                    console.write(f"\r\n{text}\r\n")
            except OSError as error:
                log.debug("console %s: %s", device, error)

    def _devices(self) -> list[Path]:
        names = (store.read_text(self.paths.consoles) or "").split()
        return [self.paths.root / "dev" / name for name in names]
