"""`configure`: a gateway.yaml onto a built image, or a copy with its own for each gateway of a batch."""

import argparse
import dataclasses
from pathlib import Path

from builder import host
from builder.errors import BuildError
from builder.project import say
from builder.verbs import Verb, show

FORMATS = ("raw", "raw.zst")


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, and one configuration or many."""
    add = parser.add_argument
    add("file", type=Path, metavar="IMAGE_FILE", help="a built image, or a disk that holds one")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, metavar="FILE", help="a gateway.yaml for this image")
    source.add_argument(
        "--batch",
        type=Path,
        metavar="FILE",
        help="a .csv or .yaml: a copy of the image for each gateway in it",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="where a batch goes (default: IMAGE-gateways, beside the image)",
    )
    add(
        "--checksums",
        action="store_true",
        help="with the sha256 of each image of a batch, which takes longer than the image",
    )
    add(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="of a batch's images: raw.zst is small, and quicker where files cannot share blocks (ext4)",
    )
    add("--force", action="store_true", help="images of a batch replace those that exist")


def run(options: argparse.Namespace) -> None:
    """Onto the FAT partition."""
    from builder import gateway_config

    packed = options.format != FORMATS[0]
    if options.batch is None and (options.out or options.force or options.checksums or packed):
        given = "--out, --format, --force, --checksums go with --batch"
        raise BuildError(given, "--config changes the image itself")
    host.ensure([host.CONFIGURE], say)
    if options.batch is not None:
        _batch(options)
        return
    gateway_config.configure(options.file, options.config)
    show(options, {"image": str(options.file)}, "")
    readers = "so only you can read it" if options.file.is_file() else "and who has the card can read it"
    say(f"{options.file} is configured; it may hold your token now, {readers}")


def _batch(options: argparse.Namespace) -> None:
    """Personal copies of one image."""
    from builder import batch, formats

    out = options.out or options.file.with_name(f"{options.file.stem}-gateways")
    suffix = formats.FORMATS[options.format].suffix
    how = batch.How(suffix, force=options.force, checksums=options.checksums)
    receipts = batch.configure(options.file, options.batch, out, say, how)
    show(options, {"receipts": [dataclasses.asdict(receipt) for receipt in receipts]}, "")
    say(f"{out / batch.RECEIPTS} has the receipts; the images may hold tokens, so only you can read them")


HELP = "put a gateway.yaml on a built image; $ZTGATE_TOKEN is filled in"
VERB = Verb("configure", HELP, run, arguments, token=True, json="what was configured, a batch's receipts,")
