"""`setup`: everything that other verbs would install on the way."""

import argparse

from builder import host
from builder.project import say
from builder.verbs import Verb, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """How much."""
    parser.add_argument("--all", action="store_true", help="also what the demo and the tests need")


def run(options: argparse.Namespace) -> None:
    """Install what is missing."""
    host.ensure([host.BUILD, host.CONFIGURE, *((host.DEMO, host.TEST) if options.all else ())], say)
    show(options, {}, "")
    say("everything that is needed is there")


VERB = Verb(
    "setup", "install what building needs: Debian packages and .venv", run, arguments, json="that it is done"
)
