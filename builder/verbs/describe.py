"""`describe`: what an image is made of."""

import argparse

from builder.project import ROOT
from builder.verbs import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image."""
    parser.add_argument("image", metavar="IMAGE")


def run(options: argparse.Namespace) -> None:
    """A definition with what it inherits."""
    from builder import describe, load

    print(describe.text(load.load(ROOT / "images", options.image)))


VERB = Verb("describe", "what an image is made of", run, arguments)
