"""`list`: the images that can be built."""

import argparse

from builder.project import ROOT
from builder.verbs import Verb, show


def run(options: argparse.Namespace) -> None:
    """Names and descriptions."""
    from builder import load

    images = [load.load(ROOT / "images", name) for name in load.names(ROOT / "images")]
    rows = [{"name": image.name, "description": image.description} for image in images]
    show(options, {"images": rows}, "\n".join(f"{row['name']:16} {row['description']}" for row in rows))


VERB = Verb("list", "the images that can be built", run, json="names and descriptions")
