"""`list`: the images that can be built."""

import argparse

from builder.project import ROOT
from builder.verbs import Verb


def run(_: argparse.Namespace) -> None:
    """Names and descriptions."""
    from builder import load

    for name in load.names(ROOT / "images"):
        print(f"{name:16} {load.load(ROOT / 'images', name).description}")


VERB = Verb("list", "the images that can be built", run)
