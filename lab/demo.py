"""`make demo`: build the image, boot it in the virtual world, and show a table of verdicts."""

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lab import disk, process, sandbox
from lab.checks import CHECKS, LEAVING, Check, Scene
from lab.controller import DOORS
from lab.errors import LabError
from lab.world import World

Json = dict[str, Any]
OUT = disk.ROOT / "out" / "demo"


@dataclasses.dataclass
class Verdict:
    """What came of a check; ``ok`` is None while it runs or waits."""

    name: str
    ok: bool | None = None
    detail: str = ""
    seconds: float = 0.0


def main(argv: Sequence[str]) -> int:
    """The verb `demo`; returns the exit status."""
    options = parser().parse_args(argv)
    if not sandbox.inside():
        options = build(options)
        again = [
            word
            for name in ("image", "zerotier", "door")
            for word in (f"--{name}", str(getattr(options, name)))
        ]
        keep = ["--keep"] if options.keep else []
        sandbox.enter([sys.executable, "-m", "lab.demo", *again, *keep, "--since", str(options.since)])
    return show(options)


def parser() -> argparse.ArgumentParser:
    """The demo's options."""
    parser = argparse.ArgumentParser(prog="./build.py demo", description=__doc__)
    parser.add_argument(
        "--image", default="vps-amd64", help="a name, which is built, or an image file (default: vps-amd64)"
    )
    parser.add_argument(
        "--zerotier", type=Path, metavar="DEB", help="a zerotier-one .deb (default: the stand-in)"
    )
    parser.add_argument(
        "--door", choices=sorted(DOORS), default="central-v1", help="the controller (default: central-v1)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the lab up at the end, and say how to get in"
    )
    parser.add_argument("--since", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser


def build(options: argparse.Namespace) -> argparse.Namespace:
    """Make what the demo needs: the ZeroTier package and the image, unless they were given."""
    tool: list[process.Arg] = [sys.executable, disk.ROOT / "build.py"]
    if options.zerotier is None:
        options.zerotier = Path(process.run([*tool, "standin"], timeout=120).strip().splitlines()[-1])
    options.zerotier = options.zerotier.resolve()
    if not Path(options.image).is_file():
        answer = process.run_shown([*tool, "build", options.image, "--zerotier", options.zerotier, "--json"])
        built = json.loads(answer)
        options.image = str(disk.ROOT / built["path"])
    return options


def show(options: argparse.Namespace) -> int:
    """Run the checks with a live table, write the report, and return the exit status."""
    # Who wants to walk in wants a gateway there.
    checks = CHECKS if options.keep else (*CHECKS, LEAVING)
    verdicts = [Verdict(check.name) for check in checks]
    console = Console()
    work = OUT / "work"
    process.run(["rm", "-rf", work])
    image = Path(options.image)
    times: Json = {"build": round(time.time() - options.since, 1)}
    with World(image, options.zerotier, work) as world:
        scene = Scene(world, options.door)
        watch(console, verdicts, judge(scene, checks, verdicts))
        times |= {
            "total": round(time.time() - options.since, 1),
            "ready": float(scene.ready.get("seconds", 0)),
        }
        ok = all(verdict.ok for verdict in verdicts)
        write_report(OUT / "report.json", report(world, image, verdicts, times, ok))
        console.print(
            f"{'All hold' if ok else 'NOT ALL HOLD'} after {times['total']:.0f} s: {OUT / 'report.json'}"
        )
        if not ok and scene.machine is not None:
            console.print(
                f"The console's last lines (logs: {work}):\n{scene.machine.console_tail()}", markup=False
            )
        if options.keep:
            keep(console, world)
    return 0 if ok else 1


def watch(console: Console, verdicts: list[Verdict], changes: Iterator[None]) -> None:
    """Show the table as it fills; where no terminal is, a line when a verdict is known."""
    if console.is_terminal:
        with Live(table(verdicts), console=console, refresh_per_second=2) as live:
            for _ in changes:
                live.update(table(verdicts))
        return
    said = 0
    for _ in changes:
        while said < len(verdicts) and verdicts[said].ok is not None:
            verdict = verdicts[said]
            mark = "ok    " if verdict.ok else "FAILED"
            print(f"{mark} {verdict.seconds:6.1f} s  {verdict.name}: {verdict.detail}", flush=True)
            said += 1


def judge(scene: Scene, checks: Sequence[Check], verdicts: list[Verdict]) -> Iterator[None]:
    """Run the checks in their order, yielding whenever a verdict has changed; the first failure ends it."""
    for check, verdict in zip(checks, verdicts, strict=True):
        verdict.detail = "…"
        yield
        began = time.monotonic()
        try:
            if scene.machine is None:
                scene.set()
            verdict.detail, verdict.ok = check.run(scene), True
        except LabError as error:
            verdict.detail, verdict.ok = error.message, False
        verdict.seconds = round(time.monotonic() - began, 1)
        yield
        if not verdict.ok:
            break
    for verdict in verdicts:
        if verdict.ok is None:
            verdict.detail = "not tried"
    yield


def table(verdicts: Sequence[Verdict]) -> Table:
    """The verdicts as a table."""
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: "·"}
    table = Table(title="ztgate: a member reaches the internet through the gateway", title_justify="left")
    for heading in ("", "check", "evidence", "s"):
        table.add_column(heading, justify="right" if heading == "s" else "left")
    for verdict in verdicts:
        first = verdict.detail.splitlines()[0] if verdict.detail else ""
        table.add_row(
            marks[verdict.ok], verdict.name, first, f"{verdict.seconds:.1f}" if verdict.seconds else ""
        )
    return table


def report(world: World, image: Path, verdicts: Sequence[Verdict], times: Json, ok: bool) -> Json:
    """The demo's result for machines."""
    sha256 = process.run(["sha256sum", image]).split()[0]
    return {
        "ok": ok,
        "zerotier": {"version": world.package.version, "stand_in": world.package.stand_in},
        "image": {"path": str(image), "sha256": sha256},
        "accelerator": world.accelerator,
        "seconds": times,
        "checks": [dataclasses.asdict(verdict) | {"ok": bool(verdict.ok)} for verdict in verdicts],
    }


def write_report(path: Path, content: Json) -> None:
    """Write the report whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


def keep(console: Console, world: World) -> None:
    """Leave the lab up until ^C, and say how to get in."""
    enter = f"sudo nsenter --all --target $(pgrep --parent {sandbox.outer_pid()})"
    ssh = " ".join(os.fspath(word) for word in world.isp.host.argv(*world.shell().argv("")))
    console.print("\nThe lab stays up until ^C. Ways in, from another terminal:", markup=False)
    for what, command in {
        "a member's shell": f"{enter} ip netns exec laptop bash",
        "the ISP's shell": f"{enter} ip netns exec isp bash",
        "the gateway by SSH": f"{enter} {ssh}",
        "the gateway's console": f"tail -f {world.work}/gateway/console.log",
    }.items():
        console.print(f"  {what + ':':24}{command}", markup=False, soft_wrap=True)
    wait_for_signal()


def wait_for_signal() -> None:
    """Until ^C or SIGTERM; blocked first, as a namespace's first process is not sent what it leaves alone."""
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    signal.sigwait(stops)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"demo: {error.message}\n{error.hint}".rstrip())
