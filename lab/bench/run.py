"""The run itself: each tool in each case, then devices and sizes; and what becomes of the report."""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import process, this_machine
from lab.bench import page, report, room, surroundings
from lab.bench.report import Devices, Entry, Report, Size
from lab.bench.room import Measured, Room
from lab.bench.tools import (
    CASES,
    COLD,
    OVERLAID,
    OVERLAY,
    Recipe,
    Task,
    debos,
    mkosi,
    mmdebstrap,
    ours,
    vmdb2,
)

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out" / "bench"
REPORT = OUT / "report.json"
BOOT = OUT / "boot.json"
KEPT = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
TOOLS: dict[str, Callable[[Task], Recipe]] = {
    module.NAME: module.recipe for module in (mmdebstrap, ours, mkosi, debos, vmdb2)
}
SIZED = ("vps-amd64", "rpi-arm64")  # of these the sizes are shown, if they are built

# What devices are made as, and how many times --devices of them: ten quick ones are lost in the noise.
FORMATS = {"raw": 1, "raw.zst": 5}

Say = Callable[[str], None]


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line of the verb `bench`."""
    what = "Measure builds side by side with Debian's other image builders."
    parser = argparse.ArgumentParser(prog="./build.py bench", description=what)
    add = parser.add_argument
    add("--runs", type=_positive, default=1, metavar="N", help="of each case; the median counts (default: 1)")
    add("--mirror", default="", metavar="URL", help="for everybody (default: this machine's apt has it)")
    add("--tool", action="append", default=[], choices=[*TOOLS], help="only this one; may be given again")
    add(
        "--devices",
        type=_positive,
        default=10,
        metavar="N",
        help="copies by configure --batch, of raw.zst five times as many (default: 10)",
    )
    add("--keep", action="store_true", help="leave out/bench/work, some gigabytes, to be looked at")
    add("--docs", action="store_true", help="measure nothing: docs/benchmarks.md from docs/benchmarks.json")
    return parser.parse_args(words)


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word}: a number from 1 on is needed")
    return int(word)


def main(
    options: argparse.Namespace, image: str, suite: str, packages: tuple[str, ...], zerotier: Path
) -> None:
    """Measure, and write the report; a run of all tools is the one that the docs show."""
    place = options.mirror or surroundings.mirror()
    task = Task(image, suite, packages, place.rstrip("/"), ROOT, zerotier)
    made = measure(task, options, say)
    OUT.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(made.text())
    print(page.table(made))
    say(f"{REPORT} has all of it")
    if not options.tool:
        KEPT.write_text(made.text())
        document()
    if not options.keep:
        shutil.rmtree(OUT / "work")


def document() -> None:
    """docs/benchmarks.md from the report beside it."""
    PAGE.write_text(page.document(report.read(KEPT)))
    say(f"{PAGE} shows it")


def say(text: str) -> None:
    """What is going on, for who waits."""
    print(text, file=sys.stderr, flush=True)


def measure(task: Task, options: argparse.Namespace, say: Say) -> Report:
    """Every tool, one after another."""
    seen, date = this_machine.described(), surroundings.mirror_date(task.mirror, task.suite)
    boot = json.loads(BOOT.read_text()) if BOOT.exists() else None
    work = OUT / "work"
    shutil.rmtree(work, ignore_errors=True)
    with room.disks():
        entries = [_tool(TOOLS[name](task), task, work, options.runs, say) for name in options.tool or TOOLS]
    own = Room(work / ours.NAME)
    built = own.path / f"{task.image}.img"
    return Report(
        datetime.date.today().isoformat(),
        seen,
        task.image,
        list(task.packages),
        "a mirror that was named" if options.mirror else "the mirror of this machine's apt",
        date,
        options.runs,
        entries,
        [
            _devices(own, built, kind, options.devices * times, say)
            for kind, times in FORMATS.items()
            if built.exists()
        ],
        _sizes(own, built, say) if built.exists() else [],
        boot,
    )


def _tool(recipe: Recipe, task: Task, work: Path, runs: int, say: Say) -> Entry:
    version = surroundings.version(recipe.package) if recipe.package else _revision(task.root)
    entry = Entry(recipe.name, version, recipe.makes)
    for number in range(1, runs + 1):
        place = Room(work / recipe.name)
        shutil.rmtree(place.path, ignore_errors=True)
        place.path.mkdir(parents=True)
        place.write(recipe.files)
        if recipe.prepare:
            place.run(recipe.prepare)
        for case in CASES:
            if case in recipe.build:
                took = _case(recipe, case, place, number, broken=bool(entry.error(COLD)))
                entry.runs.setdefault(case, []).append(took)
                said = took.error or f"{took.cpu:.1f} s of processor time, {took.wall:.1f} s"
                say(f"{recipe.name}, {case}, run {number}: {said}")
    return entry


def _case(recipe: Recipe, case: str, place: Room, number: int, broken: bool) -> Measured:
    """One build. Whoever failed from nothing is not asked for more."""
    if broken and case != COLD:
        return Measured(0, 0, 0, "it failed from nothing")
    if case in (COLD, OVERLAY):
        place.write({f"{recipe.overlay}/{OVERLAID}": f"{case} {number}\n"})
    if case in recipe.forget:
        place.run(recipe.forget[case])
    (place.path / recipe.result).unlink(missing_ok=True)
    took = place.measured(recipe.build[case])
    if not took.error and not (place.path / recipe.result).exists():
        return Measured(took.wall, took.user, took.system, f"there is no {recipe.result} afterwards")
    return took


def _revision(root: Path) -> str:
    """Of this repository."""
    words = ["git", "-c", f"safe.directory={root}", "-C", str(root), "describe", "--always", "--dirty"]
    return process.run(words).strip() if process.succeeds(words) else "unknown"


def _devices(own: Room, built: Path, format_: str, count: int, say: Say) -> Devices:
    """Copies for one gateway and for so many more, which are thrown away."""
    took = []
    for number in (1, 1 + count):
        rows = "".join(f"gateway-{i:04},8056c2e21c000001,bench\n" for i in range(number))
        own.write({"gateways.csv": f"file,network,controller.token\n{rows}"})
        words = f"configure {built.name} --batch gateways.csv --format {format_} --out copies"
        took.append(own.measured(f"'{sys.executable}' source/build.py {words}"))
        shutil.rmtree(own.path / "copies", ignore_errors=True)
        say(f"configure --batch, {number} as {format_}: {took[-1].error or f'{took[-1].wall:.1f} s'}")
    return Devices(format_, count, *took)


def _sizes(own: Room, built: Path, say: Say) -> list[Size]:
    """Of what has just been built, and of other images that are there."""
    found = []
    for name in SIZED:
        image = built if built.stem == name else ROOT / "out" / f"{name}.img"
        if not image.exists():
            say(f"{image} is not built: its size is not in the report")
            continue
        say(f"the size of {name} as raw.zst")
        out = f"export-{name}"
        words = (
            f"'{sys.executable}' source/build.py export '{image}' --format raw.zst --out {out} --cache cache"
        )
        if error := own.measured(words).error:
            say(f"{name} cannot be exported, so its size is not in the report: {error}")
            continue
        size = (own.path / out / f"{name}.img.zst").stat().st_size
        found.append(Size(name, image.stat().st_size, size))
    return found
