"""`flash`: an image onto a disk; without a disk, which there are."""

import argparse
import dataclasses

from builder.project import ROOT, say
from builder.verbs import Verb, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image and a disk."""
    add = parser.add_argument
    add(
        "image",
        metavar="IMAGE",
        nargs="?",
        help="what was built, or a file: .img, .img.xz, .img.gz, .img.zst",
    )
    add(
        "device",
        metavar="DEVICE",
        nargs="?",
        help="the whole disk, as /dev/sdX; all that is on it is lost",
    )
    add("--yes", action="store_true", help="do not ask")
    add("--not-removable", action="store_true", help="write to a disk that is built in, too")


def run(options: argparse.Namespace) -> None:
    """Ask, write, read back and compare."""
    from builder import blockdev, flash

    disks = blockdev.disks()
    if options.image is None:
        show(options, {"disks": [dataclasses.asdict(disk) for disk in disks]}, flash.listing(disks))
        return
    image = flash.find_image(options.image, ROOT / "out", ROOT / "images")
    if options.device is None:
        say(flash.listing(disks))
        raise flash.no_device(options.image, disks)
    order = flash.Order(options.image, options.device, options.not_removable, options.yes)
    result = flash.flash(order, image)
    show(options, dataclasses.asdict(result), "")
    say(f"{result.device} holds {result.image}, read back and compared, after {result.seconds} s")
    say(f"next: ./build.py configure {result.device} --config gateway.yaml; or take it out and boot from it")


VERB = Verb(
    "flash",
    "write an image to a card or stick, or list what is plugged in",
    run,
    arguments,
    json="the result",
)
