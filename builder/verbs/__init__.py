"""The verbs of the command line, one small file each, which ends with its VERB.

A verb imports what needs third-party modules inside its function: before .venv is there, there are none.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.project import ROOT


def nothing(_: argparse.ArgumentParser) -> None:
    """A verb without arguments, or one that reads them itself."""


def cache(parser: argparse.ArgumentParser) -> None:
    """Where finished stages are, and with them the tools."""
    where = ROOT / ".cache"
    parser.add_argument(
        "--cache", type=Path, default=where, metavar="DIR", help="finished stages (default: .cache)"
    )


def package(parser: argparse.ArgumentParser) -> None:
    """ZeroTier's package, if it is a file."""
    what = "zerotier-one package (default: ZeroTier's own repository)"
    parser.add_argument("--zerotier", type=Path, metavar="DEB", help=what)


@dataclass(frozen=True)
class Verb:
    """A word after ./build.py.

    token: it reads $ZTGATE_TOKEN, which is kept from the others. json: what it prints with --json.
    command: what comes after -- is somebody else's, and goes to options.command.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], int | None]
    arguments: Callable[[argparse.ArgumentParser], None] = nothing
    token: bool = False
    json: str = ""
    command: bool = False


def show(options: argparse.Namespace, data: Mapping[str, object], text: str, ok: bool = True) -> None:
    """A result on stdout: one JSON object for machines, a text for people."""
    if options.json:
        print(json.dumps({"ok": ok, **data}))
    elif text:
        print(text)
