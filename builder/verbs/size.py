"""`size`: what fills an image, by Debian package and directory."""

import argparse
import dataclasses

from builder.project import ROOT
from builder.verbs import Verb, show
from builder.verbs.build import place


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one, and where."""
    place(parser)


def run(options: argparse.Namespace) -> None:
    """A table from the cached root file system."""
    from builder import load, overlay, pipeline, sizes
    from builder.stages import tars

    image = load.load(ROOT / "images", options.image)
    artifacts = pipeline.artifacts_of(image.name, options.out, options.cache)
    found = sizes.of_image(tars(artifacts), overlay.paths(ROOT / "overlays", image.overlays))
    show(options, {"packages": [dataclasses.asdict(one) for one in found]}, sizes.text(found))


VERB = Verb("size", "what fills an image, by package", run, arguments, json="bytes by package and directory")
