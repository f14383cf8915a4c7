"""`build`: an image, with progress on stderr and the result on stdout."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb, cache, package

if TYPE_CHECKING:
    from builder import plan


def place(parser: argparse.ArgumentParser) -> None:
    """Which image, where it goes, and where the cache is."""
    add, out = parser.add_argument, ROOT / "out"
    add("image", metavar="IMAGE", help="a name that ./build.py list shows")
    add("--out", type=Path, default=out, metavar="DIR", help="where it goes (default: out)")
    cache(parser)


def inputs(parser: argparse.ArgumentParser) -> None:
    """What decides on the bytes."""
    package(parser)
    add = parser.add_argument
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="a gateway.yaml to bake in; the image is then as secret as its token",
    )
    add(
        "--mirror",
        default="",
        metavar="URL",
        help="a Debian mirror; without a lock also for the image's own updates",
    )


def options_of(options: argparse.Namespace) -> "plan.Options":
    """The pipeline's options."""
    from builder import plan

    return plan.Options(options.zerotier, options.config, options.out, options.cache, options.mirror)


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, what goes into it, and where it goes."""
    place(parser)
    inputs(parser)
    add = parser.add_argument
    add("--fresh", action="store_true", help="take in Debian's updates, whatever lock there is")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="no progress: the result, or an error")
    shown.add_argument(
        "--debug",
        action="store_true",
        help="show each tool's command line and output",
    )


def run(options: argparse.Namespace) -> None:
    """Build it."""
    from builder import load, pipeline, progress, report

    load.load(ROOT / "images", options.image)  # a typing error is said before anything is installed
    host.ensure([host.BUILD], say)
    wanted = dataclasses.replace(options_of(options), fresh=options.fresh)
    with progress.Progress(debug=options.debug, quiet=options.quiet) as shown:
        result = pipeline.build(options.image, wanted, shown)
    print(report.as_json(result) if options.json else report.as_text(result))


VERB = Verb("build", "build an image", run, arguments, token=True, json="the image and its stages")
