"""What a run of the benchmark found, as JSON has it; and the figures that are made of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lab.bench.room import Measured
from lab.errors import LabError

FORMAT = 2
REFERENCE, OURS = "mmdebstrap", "ztgate"


@dataclass(frozen=True)
class Entry:
    """A tool: its version, what it makes, and by case what each run took."""

    tool: str
    version: str
    makes: str
    runs: dict[str, list[Measured]] = field(default_factory=dict)

    def error(self, case: str) -> str:
        """Why there is no figure, if somebody tried."""
        return next((run.error for run in self.runs.get(case, []) if run.error), "")

    def middle(self, case: str, what: str) -> float | None:
        """The median of the runs, in seconds; None where one failed, or there was none."""
        runs = self.runs.get(case, [])
        return median(getattr(run, what) for run in runs) if runs and not self.error(case) else None


@dataclass(frozen=True)
class Devices:
    """Personal copies of one image in a format: what a batch of one took, and one of so many more."""

    format: str
    count: int
    one: Measured
    more: Measured

    @property
    def error(self) -> str:
        """Why there is no figure."""
        return self.one.error or self.more.error

    def each(self, what: str) -> float:
        """Seconds that one more device takes."""
        more, one = getattr(self.more, what), getattr(self.one, what)
        return float(more - one) / self.count


@dataclass(frozen=True)
class Size:
    """An image, in bytes: as a raw file, and what `export` makes of that."""

    image: str
    raw: int
    zstd: int


@dataclass(frozen=True)
class Report:
    """All of it; mirror is in words: a host's name says nothing elsewhere.

    boot is what the measurement of a boot has left, if there was one.
    """

    date: str
    machine: dict[str, str]
    image: str
    packages: list[str]
    mirror: str
    mirror_date: str
    runs: int
    entries: list[Entry]
    devices: list[Devices] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    boot: dict[str, Any] | None = None

    def entry(self, tool: str) -> Entry | None:
        """A tool's part."""
        return next((entry for entry in self.entries if entry.tool == tool), None)

    def ratio(self, entry: Entry, case: str) -> float | None:
        """Processor time in units of the reference's from nothing."""
        reference = self.entry(REFERENCE)
        unit = reference.middle("cold", "cpu") if reference else None
        own = entry.middle(case, "cpu")
        return own / unit if own is not None and unit else None

    def text(self) -> str:
        """The file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


def read(path: Path) -> Report:
    """What text() has made."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said.pop("format") != FORMAT:
            raise ValueError
        said["entries"] = [_entry(one) for one in said["entries"]]
        said["devices"] = [_copies(one) for one in said["devices"]]
        said["sizes"] = [Size(**one) for one in said["sizes"]]
        return Report(**said)
    except OSError as e:
        raise LabError(f"{path}: {e.strerror}", "make bench") from None
    except (ValueError, TypeError, KeyError):
        raise LabError(f"{path} is no report of this version's", "make bench") from None


def _copies(said: dict[str, Any]) -> Devices:
    return Devices(**said | {key: Measured(**said[key]) for key in ("one", "more")})


def _entry(said: dict[str, Any]) -> Entry:
    runs = {case: [Measured(**one) for one in many] for case, many in said.pop("runs").items()}
    return Entry(**said, runs=runs)
