"""What was typed, to a verb and its options; what is wrong with it is an error like any other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from builder.errors import BuildError, nearest
from builder.statuses import sentence
from builder.verbs import Verb

PROGRAM = "./build.py"


class Misuse(BuildError):
    """A command line that makes no sense: nothing has been done."""


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors come with the others, and are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where one finds what is right."""
        verb = self.prog.removeprefix(PROGRAM).strip()
        raise Misuse(f"{verb}: {message}" if verb else message, f"{self.prog} --help")


def parser(verbs: Sequence[Verb], description: str | None) -> argparse.ArgumentParser:
    """All of it, as --help, the manual page and a shell's completion need it."""
    top = Parser(prog=PROGRAM, description=description, epilog=sentence())
    below = top.add_subparsers(required=True, metavar="VERB")
    for verb in verbs:
        sub = below.add_parser(verb.name, help=verb.help, description=verb.help)
        sub.set_defaults(verb=verb, own=sub)
        verb.arguments(sub)
        if verb.json:
            sub.add_argument("--json", action="store_true", help=f"{verb.json} on stdout, for machines")
    return top


def parse(argv: Sequence[str], verbs: Sequence[Verb], description: str | None) -> argparse.Namespace:
    """The options of one command line.

    Raises:
        Misuse: it makes no sense; the error has what was typed and what is nearest to it.
    """
    top, names = parser(verbs, description), [verb.name for verb in verbs]
    first = argv[0] if argv else ""
    if not first:
        raise Misuse("what is to be done?", f"{PROGRAM} --help lists the verbs; {PROGRAM} list, the images")
    if first not in names and not first.startswith("-"):
        raise Misuse(f"{first}: there is no such verb{nearest(first, names)}", f"{PROGRAM} --help lists them")
    cuts = any(verb.command for verb in verbs if verb.name == first)
    words, command = _cut(argv) if cuts else (argv, [])
    options, unknown = top.parse_known_args(words)
    if command:
        options.command += command
    if unknown:
        raise Misuse(*_unknown(first, unknown[0], options.own))
    options.parser = top
    return options


def _cut(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What comes after --, apart: argparse overlooks it after options, and takes a second -- out of it."""
    end = argv.index("--") if "--" in argv else len(argv)
    return argv[:end], argv[end + 1 :]


def _unknown(verb: str, word: str, own: argparse.ArgumentParser) -> tuple[str, str]:
    hint = f"{PROGRAM} {verb} --help"
    if not word.startswith("-"):
        return f"{verb}: {word}: one word too many", hint
    known = [name for action in own._actions for name in action.option_strings if name.startswith("--")]
    return f"{verb}: {word}: there is no such option{nearest(word, known)}", hint
