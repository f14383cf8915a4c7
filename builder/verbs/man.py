"""`man`: the manual page, made from the same words as --help."""

import argparse

from builder.verbs import Verb


def run(options: argparse.Namespace) -> None:
    """For `man -l -`."""
    from argparse_manpage.manpage import Manpage

    page = Manpage(options.parser)
    page.prog, page.source, page.manual = "ztgate-build", "ztgate", "ztgate"
    page.description = "makes bootable images of a ZeroTier exit gateway"
    print(page, end="")


VERB = Verb("man", "print the manual page: ./build.py man | man -l -", run)
