"""`build`: an image, with progress on stderr and the result on stdout."""

import argparse
from pathlib import Path

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, and what goes into it."""
    add = parser.add_argument
    add("image", metavar="IMAGE")
    add(
        "--zerotier",
        type=Path,
        metavar="DEB",
        help="zerotier-one package (default: ZeroTier's own repository)",
    )
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="a gateway.yaml to bake in; the image is then as secret as its token",
    )
    add("--out", type=Path, default=ROOT / "out", metavar="DIR", help="where it goes (default: out)")
    add(
        "--cache",
        type=Path,
        default=ROOT / ".cache",
        metavar="DIR",
        help="finished stages (default: .cache)",
    )
    add("--mirror", default="", metavar="URL", help="a Debian mirror, also for the image's own updates")
    add("--fresh", action="store_true", help="bootstrap again, to take in Debian's updates")
    add("--json", action="store_true", help="the result on stdout, for machines")
    add("--debug", action="store_true", help="show every line that the tools print")


def run(options: argparse.Namespace) -> None:
    """Build it."""
    from builder import load, pipeline, progress, report

    load.load(ROOT / "images", options.image)  # a typing error is said before anything is installed
    host.ensure([host.BUILD], say)
    wanted = pipeline.Options(
        options.zerotier, options.config, options.out, options.cache, options.mirror, options.fresh
    )
    with progress.Progress(debug=options.debug) as shown:
        result = pipeline.build(options.image, wanted, shown)
    print(report.as_json(result) if options.json else report.as_text(result))


VERB = Verb("build", "build an image", run, arguments, token=True)
