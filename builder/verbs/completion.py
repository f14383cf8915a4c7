"""`completion`: what a shell has to know to complete ./build.py's words."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from builder.project import ROOT
from builder.verbs import Verb

SHELLS = ("bash", "zsh", "tcsh")


def arguments(parser: argparse.ArgumentParser) -> None:
    """A shell."""
    parser.add_argument("shell", choices=SHELLS, help="yours")


def run(options: argparse.Namespace) -> None:
    """Words, names of images and files, to be read by that shell."""
    import shtab

    from builder import load

    for action in _actions(options.parser):
        if action.metavar == "IMAGE":
            action.choices = load.names(ROOT / "images")
        elif action.type is Path:
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(options.parser, options.shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)


VERB = Verb("completion", "print a completion script: source <(./build.py completion bash)", run, arguments)
