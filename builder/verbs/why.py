"""`why`: what a build would take from the cache, what it would make, and because of what."""

import argparse
import dataclasses
import json

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb
from builder.verbs.build import inputs, options_of, place


def arguments(parser: argparse.ArgumentParser) -> None:
    """As for `build`, which it foretells."""
    place(parser)
    inputs(parser)
    parser.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> None:
    """One line a stage."""
    from builder import load, pipeline, progress

    load.load(ROOT / "images", options.image)
    host.ensure([host.BUILD], say)
    with progress.Progress(quiet=True) as shown:
        found = pipeline.look_ahead(options.image, options_of(options), shown)
    if options.json:
        print(
            json.dumps(
                [{**dataclasses.asdict(one), "artifact": one.artifact and str(one.artifact)} for one in found]
            )
        )
        return
    for one in found:
        print(f"{one.name:10} {'cached' if one.artifact else 'to run':8} {one.reason}")


VERB = Verb("why", "what a build would take from the cache, and why not the rest", run, arguments)
