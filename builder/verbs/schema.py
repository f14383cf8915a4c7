"""`schema`: what an editor needs to complete gateway.yaml and images/*.yaml, and to mark mistakes."""

import argparse
from pathlib import Path

from builder.verbs import Verb

KINDS = ("gateway", "image")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one, and where to."""
    add = parser.add_argument
    add(
        "kind",
        nargs="?",
        choices=KINDS,
        metavar="KIND",
        help=f"{' or '.join(KINDS)} (default: both, with --out)",
    )
    add("--out", type=Path, metavar="DIR", help="write KIND.schema.json there, instead of printing it")


def run(options: argparse.Namespace) -> None:
    """Print it, or write it."""
    from builder import schema
    from builder.errors import BuildError

    kinds = [options.kind] if options.kind else KINDS
    if options.out is None:
        if options.kind is None:
            raise BuildError("schema of what?", f"./build.py schema {KINDS[0]}, or --out DIR for all of them")
        print(schema.text(options.kind), end="")
        return
    print("\n".join(str(path) for path in schema.write(options.out, kinds)))


VERB = Verb(
    "schema", "print the JSON Schema of gateway.yaml or of images/*.yaml, for editors", run, arguments
)
