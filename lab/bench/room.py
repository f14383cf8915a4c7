"""Where the tools run: a directory each, and mounts of their own, which end with them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import process
from lab.errors import LabError

LIMIT = 3600.0  # seconds
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HOME")
MEASURE = Path(__file__).with_name("measure.py")
# As root: what somebody mounts is gone when the last of his processes has ended. systemd-nspawn wants /run in
# memory, and where no udev runs debos would wait for it for ever; the kernel makes the device nodes itself.
ENTER = """\
[ "$(id -u)" = 0 ] || exec sh -eu -c "$1"
exec unshare --mount sh -eu -c '
[ "$(stat --file-system --format=%T /run)" = tmpfs ] || mount -t tmpfs none /run
if [ ! -e /run/udev/control ]; then
  mkdir -p /run/without-udev && ln -s /bin/true /run/without-udev/udevadm
  PATH=/run/without-udev:$PATH
fi
eval "$1"' sh "$1"
"""
DISKS = Path("/dev/disk")  # udev's; debos hands it on


@dataclass(frozen=True)
class Measured:
    """What a command took, in seconds; processor time is that of all its descendants."""

    wall: float
    user: float
    system: float
    error: str = ""

    @property
    def cpu(self) -> float:
        """User and system time."""
        return self.user + self.system


@dataclass(frozen=True)
class Room:
    """A tool's directory."""

    path: Path

    @property
    def log(self) -> Path:
        """What its programs have printed."""
        return self.path.with_suffix(".log")

    def measured(self, script: str) -> Measured:
        """Run a shell script, and say what that took; an error is in it, too."""
        report = self.path.with_suffix(".json")
        report.unlink(missing_ok=True)
        with self.log.open("a") as log:
            log.write(f"+ {script}\n")
        environment = [f"{name}={os.environ[name]}" for name in PROXIES if name in os.environ]
        words = ["env", "-C", str(self.path), *environment, sys.executable, "-I", str(MEASURE), str(report)]
        words += [f"{LIMIT:.0f}", str(self.log), "--", "sh", "-eu", "-c", ENTER, "sh", script]
        good = process.succeeds(words, timeout=LIMIT + 60)
        self._detach()
        if not report.exists():
            raise LabError(f"{self.path.name}: nothing was measured", f"see {self.log}")
        said = json.loads(report.read_text())
        error = "" if good else self._last_words(said["status"])
        return Measured(said["wall"], said["user"], said["system"], error)

    def run(self, script: str) -> None:
        """The same, where it does not matter what that took."""
        done = self.measured(script)
        if done.error:
            raise LabError(f"{self.path.name}: {done.error}", f"see {self.log}")

    def write(self, files: Mapping[str, str]) -> None:
        """Put files here."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _last_words(self, status: int) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return f"exit status {status}: {lines[-1][:200] if lines else 'nothing was said'}"

    def _detach(self) -> None:
        """Loop devices outlive who made them."""
        listed = process.run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
        for device in json.loads(listed or '{"loopdevices": []}')["loopdevices"]:
            if device["back-file"].startswith(f"{self.path}/"):
                process.succeeds(["losetup", "--detach", device["name"]])


@contextmanager
def disks() -> Iterator[None]:
    """/dev/disk, where there is no udev that makes it."""
    if DISKS.exists() or os.geteuid() != 0:
        yield
        return
    DISKS.mkdir()
    try:
        yield
    finally:
        DISKS.rmdir()
