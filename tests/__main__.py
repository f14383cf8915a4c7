"""Run tiers of tests and end with one plain summary.

    ./build.py run python -m tests [--zerotier DEB] [--soak] [unit] [image] [netns] [qemu] [-- PYTEST OPTIONS]

Without a tier: all of them. Images are built once, first, where a tier wants them. Tests that are marked
`soak` take long and seldom find anything: they run with --soak, and nothing else does then.
"""

import argparse
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tests import access_point, kernel
from tests.conftest import ROOT

REPORTS = ROOT / "out" / "tests"
TIERS = ("unit", "image", "netns", "qemu")
# These make network namespaces, so they run where nothing of the host's can be touched.
SANDBOXED = {"netns", "qemu"}


@dataclass(frozen=True)
class Result:
    """A tier's counts, and its wall-clock seconds."""

    tier: str
    status: int
    passed: int
    failed: int
    skipped: int
    seconds: float

    def line(self) -> str:
        """The tier's line of the summary."""
        verdict = "ok" if self.status == 0 else "FAILED"
        counts = f"{self.passed:4} passed {self.failed:3} failed {self.skipped:3} skipped"
        return f"  {self.tier:6} {counts} {self.seconds:7.0f} s  {verdict}"


def run_tier(tier: str, options: list[str]) -> Result:
    """Run one tier with pytest and read its counts from the report that it writes."""
    report = REPORTS / f"{tier}.xml"
    report.unlink(missing_ok=True)
    sandbox = ["-m", "lab.sandbox", sys.executable] if tier in SANDBOXED else []
    argv = [sys.executable, *sandbox, "-m", "pytest", f"tests/{tier}", f"--junit-xml={report}", *options]
    began = time.monotonic()
    status = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    seconds = time.monotonic() - began
    if not report.exists():
        return Result(tier, status or 1, 0, 0, 0, seconds)
    suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    return Result(tier, status, total - skipped - failed, failed, skipped, seconds)


def build_once(zerotier: Path | None, soak: bool) -> list[str]:
    """Build what the image's tiers need, with the builder's own progress on the screen."""
    standin = Path(_output([sys.executable, "build.py", "standin"]).strip().splitlines()[-1]).resolve()
    deb = zerotier.resolve() if zerotier else standin
    given = ["--zerotier", str(deb), "--image", _built("vps-amd64", deb)]
    # A real package is for one architecture only.
    given += ["--pi-image", _built("rpi-arm64", standin)]
    return [*given, "--arm-image", _built("vps-arm64", standin)] if soak else given


def _built(name: str, deb: Path) -> str:
    words = [sys.executable, "build.py", "build", name, "--zerotier", str(deb), "--json"]
    return str(ROOT / json.loads(_output(words))["path"])


def prepared(zerotier: Path | None, tiers: list[str], soak: bool) -> dict[str, list[str]]:
    """Each tier's options for pytest; what they name is made or downloaded here, outside the sandbox."""
    images = build_once(zerotier, soak)
    given = {tier: [] if tier == "unit" else list(images) for tier in tiers}
    if "qemu" in given and not soak:
        given["qemu"] += ["--hostapd", str(access_point.download(REPORTS))]
        for name in kernel.OTHERS:
            given["qemu"] += [f"--kernel-{name}", str(kernel.download(name, REPORTS))]
    return given


def _output(argv: list[str]) -> str:
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + f"{' '.join(argv)}: exit status {done.returncode}")
    return done.stdout


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what comes after ``--`` and is pytest's."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def main() -> int:
    """Run what the command line asks for; the exit status is 0 only when everything passed."""
    words, rest = split(sys.argv[1:])
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("tiers", nargs="*", metavar="TIER", help=", ".join(TIERS))
    parser.add_argument("--zerotier", type=Path, metavar="DEB")
    parser.add_argument("--soak", action="store_true")
    options = parser.parse_args(words)
    tiers = options.tiers or (["qemu"] if options.soak else list(TIERS))
    if unknown := set(tiers) - set(TIERS):
        parser.error(f"{', '.join(sorted(unknown))}: the tiers are {', '.join(TIERS)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    given: dict[str, list[str]] = {"unit": []}
    if tiers != ["unit"]:
        given = prepared(options.zerotier, tiers, options.soak)
    chosen = ["-m", "soak" if options.soak else "not soak"]
    results = [run_tier(tier, given[tier] + chosen + rest) for tier in tiers]
    print("\nztgate tests")
    for result in results:
        print(result.line())
    good = all(result.status == 0 for result in results)
    print(f"  {'all passed' if good else 'NOT all passed'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
