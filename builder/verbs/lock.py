"""`lock`: what Debian and ZeroTier have today, as the packages of an image from now on."""

import argparse
from pathlib import Path

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb, package, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, and where its packages are from."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="a name that ./build.py list shows")
    package(parser)
    add(
        "--cache",
        type=Path,
        default=ROOT / ".cache",
        metavar="DIR",
        help="where the packages are kept (default: .cache)",
    )
    add("--mirror", default="", metavar="URL", help="a Debian mirror, also for the image's own updates")


def run(options: argparse.Namespace) -> None:
    """Renew images/IMAGE.lock, fetch the packages, and say what changed."""
    from builder import load, plan, progress, relock

    load.load(ROOT / "images", options.image)  # a typing error is said before anything is installed
    host.ensure([host.BUILD], say)
    wanted = plan.Options(zerotier=options.zerotier, cache=options.cache, mirror=options.mirror, fresh=True)
    with progress.Progress() as shown:
        path, changes = relock.relock(options.image, wanted, shown)
    show(options, {"lock": str(path), "changes": changes}, "\n".join(changes or ["nothing has changed"]))
    say(f"{path} is what `build` takes from now on; its packages are in {options.cache / 'packages'}")


HELP = "pin the packages of an image to what Debian has today"
VERB = Verb("lock", HELP, run, arguments, json="what changed")
