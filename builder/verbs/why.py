"""`why`: what a build would take from the cache, what it would make, and because of what."""

import argparse
import dataclasses

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb, show
from builder.verbs.build import inputs, options_of, place


def arguments(parser: argparse.ArgumentParser) -> None:
    """As for `build`, which it foretells."""
    place(parser)
    inputs(parser)


def run(options: argparse.Namespace) -> None:
    """One line a stage."""
    from builder import load, pipeline, progress

    load.load(ROOT / "images", options.image)
    host.ensure([host.BUILD], say)
    with progress.Progress(quiet=True) as shown:
        found = pipeline.look_ahead(options.image, options_of(options), shown)
    stages = [{**dataclasses.asdict(one), "artifact": one.artifact and str(one.artifact)} for one in found]
    lines = [f"{one.name:10} {'cached' if one.artifact else 'to run':8} {one.reason}" for one in found]
    show(options, {"stages": stages}, "\n".join(lines))


HELP = "what a build would take from the cache, and why not the rest"
VERB = Verb("why", HELP, run, arguments, json="each stage and its reason")
