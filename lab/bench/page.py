"""A report as a table for the terminal, and as docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lab.bench.report import OURS, REFERENCE, Devices, Entry, Report
from lab.bench.tools import CASES, COLD, OVERLAY, PACKAGES
from lab.tables import Row, columns, markdown

COLUMNS = ("", "version", *CASES)
# What issue and README promise: by case, what is measured, in which unit, and the most that it may be.
AIMS = (
    (COLD, "ratio", 1.2, "processor time from nothing, of the reference's"),
    (PACKAGES, "ratio", 0.5, "the same with the packages in the cache"),
    (OVERLAY, "wall", 2.0, "seconds after a change in an overlay"),
)
DEVICE = 0.1  # seconds for one more device, in the quickest format
# What a boot took before anything was cut, in guest instructions (docs/design.md); how much may be left.
BEFORE = {"first": 19_735_000_000, "later": 15_549_000_000}
LEFT = 2 / 3
COPIES = ("", "a batch of one, s", "one more, ms", "of the processor, ms")
DEVICES = """`configure --batch`: what a batch of one takes, and each device more. Raw images share their
blocks with the one that they are made of where the file system can do that (XFS, Btrfs). The other tools have
nothing like it: one more device is one more build, with another overlay.

"""
MIB = 1 << 20

HEAD = """# Benchmarks

<!-- Made by `make bench` from docs/benchmarks.json; `./build.py bench --docs` makes it again. -->

`make bench` on one machine: the packages of `images/{image}.yaml` from one mirror, made into an image by this
builder and by others that Debian has. Each figure is {figure}. Other work on the machine changes
wall-clock time far more than processor time, so the latter is what to compare: user and system time of a tool
and of all that it starts.
"""


def document(report: Report) -> str:
    """The page."""
    figure = "of one run" if report.runs == 1 else f"the median of {report.runs} runs"
    parts = [HEAD.format(image=report.image, figure=figure)]
    parts += [f"## The machine\n\n{markdown(('', ''), list(report.machine.items()))}"]
    parts += [
        f"{len(report.packages)} packages and what they depend on, from {report.mirror}, "
        f"as it was on {report.mirror_date}; measured on {report.date}.\n"
    ]
    parts += [f"## {title}\n\n{said}" for title, said in _sections(report)]
    return "\n".join(parts)


def table(report: Report) -> str:
    """For the terminal: processor time, and wall-clock time behind it."""
    lines = [*columns((COLUMNS, *(_both(report, entry) for entry in report.entries))), ""]
    lines += ["processor time (ratio to the reference's from nothing), wall-clock time"]
    lines += _errors(report)
    lines += columns(list(aims(report)))
    lines += columns([_copies(made) for made in report.devices])
    lines += columns([_size_row(report, i) for i in range(len(report.sizes))])
    lines += [f"boot: {report.boot['total']:,} instructions"] if report.boot else []
    return "\n".join(lines)


def _sections(report: Report) -> Iterator[tuple[str, str]]:
    makes: list[Row] = [(f"`{e.tool}`", e.version, e.makes) for e in report.entries]
    yield "The tools", markdown(("", "version", "makes"), makes) + _cases()
    for title, what in (("Processor time, seconds", "cpu"), ("Wall-clock time, seconds", "wall")):
        rows: list[Row] = [(f"`{e.tool}`", *_figures(report, e, what)) for e in report.entries]
        note = f"In brackets: in units of what `{REFERENCE}` takes from nothing.\n\n" if what == "cpu" else ""
        yield title, note + markdown(("", *CASES), rows)
    if errors := _errors(report):
        yield "What could not be run here", "".join(f"- {error}\n" for error in errors)
    yield "What was aimed at", markdown(("", "at most", "measured", ""), list(aims(report)))
    if report.devices:
        yield "One more device from a built image", _devices(report)
    if report.sizes:
        rows = [_size_row(report, i) for i in range(len(report.sizes))]
        yield "Sizes", markdown(("", "raw", "raw.zst"), rows)
    if report.boot:
        yield "From power-on to ready", _boot(report.boot)


def _cases() -> str:
    return "\n" + "".join(f"- {case}: {says}\n" for case, says in CASES.items())


def aims(report: Report) -> Iterator[Row]:
    """What was promised, and whether it is so."""
    ours = report.entry(OURS)
    for case, what, most, says in AIMS if ours else ():
        assert ours is not None
        found = report.ratio(ours, case) if what == "ratio" else ours.middle(case, what)
        yield _aim(says, most, found, digits=1)
    if made := [devices for devices in report.devices if not devices.error]:
        quickest = min(made, key=lambda devices: devices.each("wall"))
        says = f"seconds for one more device ({quickest.format})"
        yield _aim(says, DEVICE, quickest.each("wall"))
    for name, boot in _boots(report.boot):
        yield _aim(
            f"instructions of a {name} boot, of what it took before", LEFT, boot["total"] / BEFORE[name]
        )


def _aim(says: str, most: float, found: float | None, digits: int = 2) -> Row:
    verdict = "not measured" if found is None else "reached" if found <= most else "missed"
    return says, f"{most:.{digits}f}", "" if found is None else f"{found:.2f}", verdict


def _boots(boot: dict[str, Any] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first boot and a later one."""
    if boot:
        yield "first", boot
        yield "later", boot["later"]


def _figures(report: Report, entry: Entry, what: str) -> Iterator[str]:
    for case in CASES:
        seconds, ratio = entry.middle(case, what), report.ratio(entry, case)
        if seconds is None:
            yield "failed" if entry.error(case) else "-"
        else:
            yield f"{seconds:.1f}" + (f" ({ratio:.2f})" if what == "cpu" and ratio is not None else "")


def _both(report: Report, entry: Entry) -> Row:
    figures = zip(_figures(report, entry, "cpu"), _figures(report, entry, "wall"), strict=True)
    return entry.tool, entry.version, *(f"{cpu} {wall}" if cpu != wall else cpu for cpu, wall in figures)


def _errors(report: Report) -> list[str]:
    """Each once: what comes after a failure fails as well."""
    said = []
    for entry in report.entries:
        case = next((case for case in CASES if entry.error(case)), None)
        said += [f"{entry.tool}, {case}: {entry.error(case)}"] if case else []
    return said


def _devices(report: Report) -> str:
    return DEVICES + markdown(COPIES, [_copies(made) for made in report.devices])


def _copies(made: Devices) -> Row:
    if made.error:
        return made.format, f"failed: {made.error}", "-", "-"
    wall, cpu = 1000 * made.each("wall"), 1000 * made.each("cpu")
    return made.format, f"{made.one.wall:.1f}", f"{wall:.0f}", f"{cpu:.0f}"


def _size_row(report: Report, index: int) -> Row:
    size = report.sizes[index]
    return size.image, f"{size.raw / MIB:.0f} MiB", f"{size.zstd / 1e6:.1f} MB"


def _boot(boot: dict[str, Any]) -> str:
    both = [
        [*((phase["name"], phase["instructions"]) for phase in one["phases"]), ("together", one["total"])]
        for _, one in _boots(boot)
    ]
    rows = [(name, f"{first:,}", f"{later:,}") for (name, first), (_, later) in zip(*both, strict=True)]
    idle = f"\nIdle memory: {boot['idle_memory_mb']} MB.\n"
    head = f"`{boot['image']}`, in guest instructions.\n\n"
    return head + markdown(("phase", "first boot", "later"), rows) + idle
