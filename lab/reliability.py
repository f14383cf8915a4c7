"""What the last soak came to: a table, and docs/reliability.md.

./build.py run python -m lab.reliability [--longer]

`make soak SECONDS=N` leaves a record of each scenario (lab/scenario.py), and docs/reliability.json has them
all. The page is made of that file alone. With --longer, records of scenarios that were tried more often than
the report says take their places there: `make cuts` leaves such.
"""

import argparse
import datetime
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lab import disk, process, scenario, this_machine
from lab.scenario import PARTS, Record
from lab.tables import Row, columns, markdown

KEPT = disk.ROOT / "docs" / "reliability.json"
PAGE = disk.ROOT / "docs" / "reliability.md"
COLUMNS = ("", "tried", "median", "worst", "allowed", "lost")

HEAD = """# Reliability

<!-- Made by `make soak SECONDS=N` from docs/reliability.json.
     `./build.py run python -m lab.reliability` makes it again. -->

What homes and clouds do to a gateway, tried on the shipped code in the lab, as often as {seconds} seconds
in all allowed. The times are from the hardship, or from its end where it lasts, until members are served
again: wall-clock time on the machine below, which emulates the gateway where it has no KVM, and is then many
times slower than a real one. Programs that hang or end, and settings that are lost, go by the gateway's own
clock: its processor executes an instruction in a nanosecond. A scenario that takes longer than it is allowed
counts as lost.
"""


@dataclass(frozen=True)
class Report:
    """All of a soak."""

    date: str
    revision: str
    seconds: int
    zerotier: str
    machine: dict[str, str]
    scenarios: list[Record]

    @property
    def lost(self) -> list[str]:
        """Everything that was, with the scenario's name."""
        return [f"{record.name}: {what}" for record in self.scenarios for what in record.lost]


def revision() -> str:
    """What is under test, as long as nothing is changed."""
    git = ("git", "-c", f"safe.directory={disk.ROOT}", "-C", str(disk.ROOT))
    describe = (*git, "describe", "--always", "--dirty")
    return process.run(describe).strip() if process.succeeds(describe) else "unknown"


def gathered(seconds: int, zerotier: str, revision: str) -> Report:
    """The records that lie there, as one report.

    zerotier: which package was under test.
    """
    today = datetime.date.today().isoformat()
    return Report(today, revision, seconds, zerotier, this_machine.described(), scenario.read())


def with_longer(report: Report, records: Sequence[Record], run: str) -> Report:
    """The report with those records that were tried more often than its own. run: which commit, and when."""
    newer = {record.name: replace(record, apart=run) for record in records}
    kept = (max(each, newer.get(each.name, each), key=lambda one: one.tried) for each in report.scenarios)
    return replace(report, scenarios=list(kept))


def text(report: Report) -> str:
    """For docs/reliability.json."""
    return json.dumps(asdict(report), indent=1) + "\n"


def from_text(said: str) -> Report:
    """What `text` has written."""
    data: dict[str, Any] = json.loads(said)
    return Report(**data | {"scenarios": [Record(**record) for record in data["scenarios"]]})


def row(record: Record) -> Row:
    """A scenario's line."""
    times = record.recovered
    shown = [f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"] if times else ["-", "-"]
    return (
        record.name,
        str(record.tried),
        *shown,
        f"{record.within:.0f} s" if record.within else "-",
        str(len(record.lost) or "nothing"),
    )


def said(record: Record) -> str:
    """It in a line."""
    times = f"worst {max(record.recovered):.1f} s of {record.within:.0f}" if record.recovered else ""
    figures = (f"{name} {value}" for name, value in record.figures.items())
    lost = f"LOST {'; '.join(record.lost)}" if record.lost else "nothing lost"
    return ", ".join(filter(None, (f"{record.tried} rounds", times, *figures, lost)))


def table(report: Report) -> str:
    """For the terminal."""
    lines = columns([COLUMNS, *map(row, report.scenarios)])
    tried = sum(record.tried for record in report.scenarios)
    verdict = f"{len(report.lost)} LOST" if report.lost else "nothing was lost"
    return "\n".join([*lines, *report.lost, f"{len(report.scenarios)} scenarios, {tried} rounds: {verdict}"])


def page(report: Report) -> str:
    """docs/reliability.md."""
    machine = {**report.machine, "ZeroTier": report.zerotier, "ztgate": report.revision, "date": report.date}
    parts = [HEAD.format(seconds=f"{report.seconds:,}"), markdown(("", ""), list(machine.items()))]
    return "\n".join([*parts, *_sections(report.scenarios)])


def _sections(records: Sequence[Record]) -> Iterator[str]:
    for part, title in PARTS.items():
        mine = [record for record in records if record.part == part]
        if mine:
            figures = "".join(
                f"- {record.name}: {name}: {value}\n"
                for record in mine
                for name, value in record.figures.items()
            )
            figures += "".join(
                f"- {record.name}: tried by itself: {record.apart}\n" for record in mine if record.apart
            )
            lost = "".join(f"- lost: {record.name}: {what}\n" for record in mine for what in record.lost)
            yield "\n".join(
                filter(None, [f"## {title}\n", markdown(COLUMNS, list(map(row, mine))), figures, lost])
            )


def document() -> None:
    """The page from the report beside it."""
    PAGE.write_text(page(from_text(KEPT.read_text())))


def main(argv: Sequence[str]) -> int:
    """Make the page again, and show the table."""
    parser = argparse.ArgumentParser(prog="lab.reliability", description=main.__doc__)
    parser.add_argument("--longer", action="store_true", help="take records of what was tried longer since")
    if parser.parse_args(argv).longer:
        today = datetime.date.today().isoformat()
        report = with_longer(from_text(KEPT.read_text()), scenario.read(), f"{revision()}, {today}")
        KEPT.write_text(text(report))
    document()
    print(table(from_text(KEPT.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
