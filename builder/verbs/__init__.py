"""The verbs of the command line, one small file each, which ends with its VERB.

A verb imports what needs third-party modules inside its function: before .venv is there, there are none.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


def nothing(_: argparse.ArgumentParser) -> None:
    """A verb without arguments, or one that reads them itself."""


@dataclass(frozen=True)
class Verb:
    """A word after ./build.py. token: it reads $ZTGATE_TOKEN, which is kept from the others."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int | None]
    arguments: Callable[[argparse.ArgumentParser], None] = nothing
    token: bool = False
