"""`make soak SECONDS=N`: every scenario for its share of the time, and what became of them."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab import reliability, scenario
from tests import jobs
from tests.conftest import ROOT


def began(seconds: int, tiers: Sequence[str]) -> list[str]:
    """Forget the last soak's records; pytest's options for this one.

    What a test needs before its first round, a boot for instance, is in nobody's share: so there is an end
    for all, too, after which those that have not begun are tried as seldom as they may be.
    """
    for path in scenario.RECORDS.glob("*.json"):
        path.unlink()
    share = seconds * jobs.LANES / count(tiers)
    return ["-m", "scenario", "--share", str(share), "--until", str(time.time() + seconds)]


def count(tiers: Sequence[str]) -> int:
    """How many scenarios there are."""
    words = ["-m", "pytest", "--collect-only", "-q", "-m", "scenario", *(f"tests/{tier}" for tier in tiers)]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    found = sum("::" in line for line in done.stdout.splitlines())
    if not found:
        sys.exit(f"{done.stdout}{', '.join(tiers)}: no scenarios there")
    return found


def ended(seconds: int, tiers: Sequence[str], zerotier: Path | None, revision: str) -> bool:
    """Write docs/reliability.json and its page, show the table; whether nothing was lost."""
    named = "the lab's stand-in" if zerotier is None else zerotier.name
    report = reliability.gathered(seconds, named, revision)
    reliability.KEPT.write_text(reliability.text(report))
    reliability.document()
    print(f"\n{reliability.table(report)}\n{reliability.PAGE} shows it")
    if missing := count(tiers) - len(report.scenarios):
        print(f"{missing} scenarios have left no record: look into {jobs.REPORTS}")
    return not report.lost and not missing
