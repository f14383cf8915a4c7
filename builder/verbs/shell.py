"""`shell`: a look around in what was built, with the image's own programs."""

import argparse

from builder.project import ROOT
from builder.verbs import Verb
from builder.verbs.build import place


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one, where, and a command."""
    place(parser)
    parser.add_argument(
        "command", nargs="*", metavar="COMMAND", help="instead of a shell; -- before one with options"
    )


def run(options: argparse.Namespace) -> int:
    """In a copy: nothing that is changed there stays."""
    from builder import enter, load, pipeline
    from builder.stages import tars

    image = load.load(ROOT / "images", options.image)
    artifacts = pipeline.artifacts_of(image.name, options.out, options.cache)
    return enter.enter(tars(artifacts), artifacts.get("twins"), image.architecture, options.command)


VERB = Verb("shell", "a shell in a copy of the image's root file system", run, arguments, command=True)
