"""`size`: what fills an image, by Debian package and directory."""

import argparse
import dataclasses
import json

from builder import host
from builder.errors import BuildError
from builder.project import ROOT, say
from builder.verbs import Verb
from builder.verbs.build import inputs, options_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """As for `build`, which has made it."""
    inputs(parser)
    parser.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> None:
    """A table from the cached root file system."""
    from builder import load, overlay, pipeline, sizes

    image = load.load(ROOT / "images", options.image)
    host.ensure([host.BUILD], say)
    artifacts = {one.name: one.artifact for one in pipeline.look_ahead(options.image, options_of(options))}
    rootfs = artifacts["rootfs"]
    if rootfs is None:
        raise BuildError(f"{image.name} is not built as it is now", f"./build.py build {image.name}")
    found = sizes.of_image(rootfs / "rootfs.tar", overlay.paths(ROOT / "overlays", image.overlays))
    print(json.dumps([dataclasses.asdict(one) for one in found]) if options.json else sizes.text(found))


VERB = Verb("size", "what fills an image, by package", run, arguments)
