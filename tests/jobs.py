"""A run of pytest on a part of the tests: several go on side by side, each with its own log and report."""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

REPORTS = ROOT / "out" / "tests"
# These make network namespaces, so they run where nothing of the host's can be touched.
SANDBOXED = {"netns", "qemu"}
# One more than there are cores: machines and namespaces wait for something for a fifth of their time. A lane
# with an emulated machine needs some 3 GiB.
LANES = min((os.cpu_count() or 1) + 1, 4)
NOTHING_CHOSEN = 5  # pytest's exit status when a marker or -k leaves no test


@dataclass(frozen=True)
class Job:
    """A tier, or one file of it, and pytest's options."""

    tier: str
    path: str
    options: Sequence[str]

    @property
    def name(self) -> str:
        """As in ``qemu-test_gateway``: the name of its log and report."""
        return "-".join(Path(self.path).with_suffix("").parts[1:])

    @property
    def log(self) -> Path:
        """What pytest writes."""
        return REPORTS / f"{self.name}.log"

    def argv(self, report: Path) -> list[str]:
        """The command line."""
        sandbox = ["-m", "lab.sandbox", sys.executable] if self.tier in SANDBOXED else []
        return [sys.executable, *sandbox, "-m", "pytest", self.path, f"--junit-xml={report}", *self.options]

    def run(self) -> "Result":
        """Run it and read its counts from the report that pytest makes."""
        report = self.log.with_suffix(".xml")
        report.unlink(missing_ok=True)
        began = time.monotonic()
        with self.log.open("wb") as log:
            status = subprocess.run(
                self.argv(report), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            ).returncode
        seconds = time.monotonic() - began
        if not report.exists():
            return Result(self.tier, status != NOTHING_CHOSEN, 0, 0, 0, seconds)
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
        total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
        failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        broken = status not in (0, NOTHING_CHOSEN)
        return Result(self.tier, broken, total - skipped - failed, failed, skipped, seconds)


@dataclass(frozen=True)
class Result:
    """What came of a job, or of all of a tier's; ``seconds`` are wall-clock time."""

    tier: str
    broken: bool
    passed: int
    failed: int
    skipped: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Nothing failed, and something passed."""
        return not self.broken and self.failed == 0 and self.passed > 0

    def line(self) -> str:
        """One line of the summary."""
        counts = f"{self.passed:4} passed {self.failed:3} failed {self.skipped:3} skipped"
        return f"  {self.tier:6} {counts} {self.seconds:7.0f} s  {'ok' if self.ok else 'FAILED'}"


def total(tier: str, results: Iterable[Result]) -> Result:
    """All of a tier's results as one."""
    mine = [result for result in results if result.tier == tier]
    return Result(
        tier,
        any(result.broken for result in mine),
        sum(result.passed for result in mine),
        sum(result.failed for result in mine),
        sum(result.skipped for result in mine),
        sum(result.seconds for result in mine),
    )


def run(jobs: Iterable[Job], lanes: int = LANES) -> Iterator[tuple[Job, Result]]:
    """Run them, first come first served, as many at once as there are lanes; each as it ends.

    The first ones run already while an iterator takes its time with the others.
    """
    with ThreadPoolExecutor(lanes) as pool:
        waiting = {pool.submit(job.run): job for job in jobs}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:  # after ^C, what has not begun does not begin
            pool.shutdown(wait=False, cancel_futures=True)
