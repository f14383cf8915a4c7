"""`run`: pytest, mypy, ruff and the like, in ztgate's Python environment."""

import argparse

from builder import venv
from builder.errors import BuildError
from builder.project import ROOT
from builder.verbs import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """A command line."""
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND", help="a program and its words"
    )


def run(options: argparse.Namespace) -> None:
    """Become the program; does not return."""
    if not options.command:
        raise BuildError("run what?", "./build.py run pytest tests/unit")
    venv.run(ROOT, options.command)


VERB = Verb("run", "run a program in ztgate's Python environment", run, arguments)
