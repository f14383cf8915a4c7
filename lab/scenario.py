"""A hardship that a gateway has to get over: how often it was tried, how long it took, and what was lost.

    @pytest.mark.scenario("network", "the /64 rotates", within=60)
    def test_a_new_prefix(scenario: Scenario, ...) -> None:
        for _ in scenario.rounds(short=2):
            ...
            with scenario.recovery():
                retry(...)

One test is one scenario. Its record is out/scenarios/NAME.json; `make soak` ends with a table of them, and
docs/reliability.md shows the last one (lab/reliability.py).
"""

import json
import math
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import disk
from lab.errors import LabError

RECORDS = disk.ROOT / "out" / "scenarios"
# Parts of docs/reliability.md, in this order.
PARTS = {
    "power": "Power, disks and faults",
    "network": "Network life",
    "attack": "Attacks",
    "updates": "Updates",
}


@dataclass
class Record:
    """What came of it. Seconds are wall-clock time from the hardship, or from its end, until all was well."""

    part: str
    name: str
    within: float
    seed: int
    tried: int = 0
    recovered: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)
    apart: str = ""  # of which commit and when, where it was not tried with the others of a report

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise LabError(f"{self.part}: the parts of scenarios are {', '.join(PARTS)}")

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return RECORDS / f"{self.part}-{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}.json"


class Scenario:
    """A test's hand on its record. ``share``: the seconds that it may take; None for the short form.

    left: the seconds that are left for all scenarios; times: so many rounds, whatever else is said of them.
    """

    def __init__(
        self, record: Record, share: float | None, left: float = math.inf, times: int | None = None
    ) -> None:
        self.record, self._times = record, times
        self.random = random.Random(record.seed)
        self._until = None if share is None else time.monotonic() + min(share, left)

    def rounds(self, short: int, least: int | None = None) -> Iterator[int]:
        """As many as fit into its share of the time, and never fewer than ``least``; without one, ``short``.

        least: ``short`` unless it is said. A round that is longer than what is left does not begin.
        """
        fewest = self._times or (short if self._until is None or least is None else least)
        number, longest = 0, 0.0
        began = time.monotonic()
        while number < fewest or (self._until is not None and began + longest < self._until):
            self.record.tried += 1
            yield number
            number += 1
            ended = time.monotonic()
            began, longest = ended, max(longest, ended - began)

    @contextmanager
    def recovery(self) -> Iterator[None]:
        """What is in it waits until all is well again."""
        began = time.monotonic()
        yield
        self.recovered(time.monotonic() - began)

    def recovered(self, seconds: float) -> None:
        """All is well again, after so long.

        Raises:
            LabError: that was longer than the scenario may take.
        """
        self.record.recovered.append(round(seconds, 1))
        if seconds > self.record.within:
            raise LabError(f"well again after {seconds:.1f} s; {self.record.within:.0f} s are allowed")

    def lost(self, what: str) -> None:
        """Something is gone that should not be; the test goes on, and fails at its end."""
        self.record.lost.append(what)

    def figure(self, name: str, value: float | str) -> None:
        """Anything else that was measured."""
        self.record.figures[name] = value


def write(record: Record) -> None:
    """Keep it; the last one of a name counts."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    record.path.write_text(json.dumps(asdict(record), indent=1) + "\n")


def read(directory: Path = RECORDS) -> list[Record]:
    """All that are there, part by part."""
    records = [Record(**json.loads(path.read_text())) for path in sorted(directory.glob("*.json"))]
    return sorted(records, key=lambda record: (list(PARTS).index(record.part), record.name))
