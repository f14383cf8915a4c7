"""`check-signature`: whether a file is the one that somebody signed."""

import argparse
from pathlib import Path

from builder.project import say
from builder.verbs import Verb, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """A public key and a file."""
    parser.add_argument("key", type=Path, metavar="PUBLIC_KEY", help="minisign's or OpenSSH's")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a file of an export; its SHA256SUMS is beside it"
    )


def run(options: argparse.Namespace) -> None:
    """The list's signature, then the file's checksum."""
    from builder import signature

    kind = signature.verify(options.file, options.key)
    show(options, {"file": str(options.file), "signed": kind}, "")
    say(f"{options.file}: as it was signed ({kind})")


HELP = "whether an exported file is the one that a key signed"
VERB = Verb("check-signature", HELP, run, arguments, json="the kind of signature")
