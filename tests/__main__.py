"""Run tiers of tests and end with one plain summary.

    ./build.py run python -m tests [--zerotier DEB] [--soak | --scenarios SECONDS] [TIER...] [-- PYTEST...]

The tiers are unit, image, netns and qemu.

Without a tier: all of them. Images are built once where a tier wants them, while `unit` runs without them;
then the tiers, and the files of `netns` and `qemu`, run side by side, one more than there are
processors.
Tests that are marked `soak` take long and seldom find anything: they run with --soak, and nothing else does
then. With --scenarios only those do that keep a record (lab/scenario.py), for so many seconds in all.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lab import reliability
from tests import access_point, browser, jobs, kernel, soak
from tests.conftest import ROOT
from tests.jobs import REPORTS, Job

TIERS = ("unit", "image", "netns", "qemu")
# A file of these is a job of its own.
BY_FILE = ("qemu", "netns")
# The longest first, so that no processor is left without work at the end; others come after these.
LONGEST = (
    "qemu/test_cuts_later_pi.py",
    "qemu/test_breakdowns.py",
    "qemu/test_healing.py",
    "qemu/test_uplink_life.py",
    "qemu/test_cuts_later.py",
    "qemu/test_cuts_first_boot_pi.py",
    "qemu/test_cuts_first_boot.py",
    "qemu/test_raspberry_pi.py",
    "qemu/test_gateway.py",
    "qemu/test_starts.py",
    "qemu/test_doctor.py",
    "qemu/test_doors.py",
    "qemu/test_arm_starts.py",
    "netns/test_join.py",
    "image",
)


def planned(tiers: Sequence[str], given: dict[str, list[str]], rest: Sequence[str]) -> list[Job]:
    """A job for each tier, or for each file of one, the longest first."""
    parts = [(tier, part) for tier in tiers for part in _parts(tier)]
    parts.sort(key=lambda part: LONGEST.index(part[1]) if part[1] in LONGEST else len(LONGEST))
    return [Job(tier, f"tests/{part}", [*given[tier], *rest]) for tier, part in parts]


def _parts(tier: str) -> list[str]:
    if tier not in BY_FILE:
        return [tier]
    return sorted(f"{tier}/{path.name}" for path in (ROOT / "tests" / tier).glob("test_*.py"))


def build_once(zerotier: Path | None, soaking: bool) -> list[str]:
    """Build what the image's tiers need, with the builder's own progress on the screen."""
    standin = Path(_output([sys.executable, "build.py", "standin"]).strip().splitlines()[-1]).resolve()
    deb = zerotier.resolve() if zerotier else standin
    given = ["--zerotier", str(deb), "--image", _built("vps-amd64", deb)]
    # A real package is for one architecture only.
    given += ["--pi-image", _built("rpi-arm64", standin)]
    return [*given, "--arm-image", _built("vps-arm64", standin)] if soaking else given


def _built(name: str, deb: Path) -> str:
    words = [sys.executable, "build.py", "build", name, "--zerotier", str(deb), "--json"]
    return str(ROOT / json.loads(_output(words))["path"])


def prepared(zerotier: Path | None, tiers: list[str], soaking: bool) -> dict[str, list[str]]:
    """Each tier's options for pytest; what they name is made or downloaded here, outside the sandbox."""
    images = build_once(zerotier, soaking)
    given = {tier: list(images) for tier in tiers}
    if "netns" in given and not soaking:
        _output([sys.executable, "-m", "lab.userland"])
    if "qemu" in given:
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
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--soak", action="store_true")
    how.add_argument("--scenarios", type=int, metavar="SECONDS")
    options = parser.parse_args(words)
    seconds: int | None = options.scenarios
    tiers = options.tiers or usual(options.soak, seconds)
    if unknown := set(tiers) - set(TIERS):
        parser.error(f"{', '.join(sorted(unknown))}: the tiers are {', '.join(TIERS)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    chosen = ["-m", "soak" if options.soak else "not soak"] if seconds is None else soak.began(seconds, tiers)
    chosen += rest
    revision = reliability.revision()  # it may be another one when the tests have come to their end

    def work() -> Iterator[Job]:
        if "unit" in tiers:
            browser.ensure()
            yield Job("unit", "tests/unit", chosen)
        if others := [tier for tier in tiers if tier != "unit"]:
            yield from planned(others, prepared(options.zerotier, others, options.soak), chosen)

    good = report(tiers, work())
    if seconds is not None:
        good = soak.ended(seconds, tiers, options.zerotier, revision) and good
    return 0 if good else 1


def usual(soaking: bool, seconds: int | None) -> list[str]:
    """The tiers that are run where none is named."""
    if seconds is not None:
        return ["netns", "qemu"]
    return ["image", "netns", "qemu"] if soaking else list(TIERS)


def report(tiers: Sequence[str], work: Iterable[Job]) -> bool:
    """Run the jobs, print what each said when it has ended, and the summary; whether all is well."""
    results = []
    print(f"{jobs.LANES} jobs at a time; each one's log comes when it has ended", flush=True)
    for job, result in jobs.run(work):
        print(f"\n===== {job.path} ({result.seconds:.0f} s)", flush=True)
        print(job.log.read_text(errors="replace"), flush=True)
        results.append(result)
    totals = [jobs.total(tier, results) for tier in tiers]
    good = all(result.ok for result in totals)
    print("\nztgate tests", *(result.line() for result in totals), sep="\n")
    print(f"  {'all passed' if good else 'NOT all passed'}")
    return good


if __name__ == "__main__":
    sys.exit(main())
