"""`describe`: what an image is made of."""

import argparse

from builder.project import ROOT
from builder.verbs import Verb, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image."""
    parser.add_argument("image", metavar="IMAGE", help="a name that ./build.py list shows")


def run(options: argparse.Namespace) -> None:
    """A definition with what it inherits."""
    from builder import describe, load

    image = load.load(ROOT / "images", options.image)
    show(options, describe.plain(image), describe.text(image))


VERB = Verb("describe", "what an image is made of", run, arguments, json="the definition")
