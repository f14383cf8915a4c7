"""`client`: what a gateway's owner hands out to members, as files."""

import argparse
from pathlib import Path

from builder.project import say
from builder.verbs import Verb, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """A configuration, and where to."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", required=True, help="the gateway's gateway.yaml"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the files go")


def run(options: argparse.Namespace) -> None:
    """Write them and name them."""
    from builder import kit

    files = [str(path) for path in kit.write(options.config, options.out)]
    show(options, {"files": files}, "\n".join(files))
    say(f"{options.out / kit.README} says which file is for whom; none of them holds a secret")


HELP = "write what members need to go out through the gateway: a script or steps for each kind of device"
VERB = Verb("client", HELP, run, arguments, json="the files")
