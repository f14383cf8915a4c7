"""`check`: whether an image fits a place, and what that place will not give."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb, cache, show

if TYPE_CHECKING:
    from builder.fitness import Verdict
    from builder.targets import Limit, Need, Target


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image and a place."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="what was built, or a raw image file")
    add("--target", required=True, metavar="T", help="where it is to run; an unknown name prints the list")
    cache(parser)


def run(options: argparse.Namespace) -> int:
    """Look at the image; 1 if it does not fit."""
    from builder import targets
    from builder.flash import find_image

    target = targets.load(options.target)
    image = find_image(options.image, ROOT / "out", ROOT / "images")
    from builder import contents, export, fitness, progress  # some seconds: not before a typing error

    host.ensure([host.BUILD], say)
    with progress.Progress() as shown, export.tools(options.cache, shown) as tools:
        facts = fitness.look(contents.open_image(image, tools))
    verdicts = fitness.judge(target, facts)
    fits = not any(v.problem for v in verdicts)
    show(options, _plain(target, verdicts), "\n".join(_lines(target, verdicts, fits)), fits)
    return 0 if fits else 1


def _plain(target: "Target", verdicts: "list[Verdict]") -> dict[str, object]:
    needs = [{**_data(v.need), "problem": v.problem} for v in verdicts]
    limits = [_data(limit) for limit in target.limits]
    return {"target": target.name, "format": target.format, "needs": needs, "limits": limits}


def _data(row: "Need | Limit") -> dict[str, object]:
    return {**dataclasses.asdict(row), "seen": _seen(row)}


def _seen(row: "Need | Limit") -> str:
    from builder.targets import NEVER

    return "" if row.seen == NEVER else str(row.seen)


def _lines(target: "Target", verdicts: "list[Verdict]", fits: bool) -> list[str]:
    lines = [f"{target.title}: takes {target.format}"]
    for v in verdicts:
        sign, more = ("no", f"; {v.problem}") if v.problem else ("ok", "")
        lines.append(f"  {sign:4} {v.need.need}: {v.need.because}{more}\n       {_source(v.need)}")
    if target.limits:
        lines.append("What it will not give, or asks for:")
    lines += [f"  -    {limit.says}\n       {_source(limit)}" for limit in target.limits]
    if not fits:
        return [*lines, f"It does not fit. ./build.py build {target.image} makes one that does."]
    return [*lines, f"It fits. next: ./build.py export {target.image} --target {target.name}"]


def _source(row: "Need | Limit") -> str:
    seen = _seen(row)
    return f"{row.confidence}: {row.source}" + (f", {seen}" if seen else "")


HELP = "whether an image fits a cloud or board, and what that will not give"
VERB = Verb("check", HELP, run, arguments, json="the verdicts")
