"""zerotier-idtool: identities and moons of the stand-in's own making."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import NOTICE, VERSION_TEXT, identity, world
from .coerce import to_str
from .errors import StandinError

_HELP = f"""\
ZeroTier identity tool version {VERSION_TEXT} ({NOTICE})
Usage: zerotier-idtool <command> [<args>]

Commands:
  generate [<identity.secret>] [<identity.public>]
  validate <identity.secret/public>
  getpublic <identity.secret>
  initmoon <identity.public of first seed>
  genmoon <moon json>
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command."""
    words = [*arguments, "", "", ""]
    verb, rest = words[0], words[1:]
    commands = {"validate": _validate, "getpublic": _getpublic, "initmoon": _initmoon, "genmoon": _genmoon}
    try:
        if verb == "generate":
            return _generate(rest[0], rest[1])
        if verb in commands and rest[0]:
            return commands[verb](rest[0])
    except StandinError as error:
        print(error.message, file=sys.stderr)
        return 1
    print(_HELP, end="")
    return 1


def _write(path: str, text: str, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
    except OSError as error:
        raise StandinError(f"Error writing to {path}: {error.strerror}") from error


def _load(argument: str) -> identity.Identity:
    """An identity from a file, or from the argument itself."""
    try:
        text = Path(argument).read_text()
    except OSError:
        text = argument
    found = identity.parse(text)
    if found is None:
        raise StandinError(f"Identity argument invalid or file unreadable: {argument}")
    return found


def _generate(secret_path: str, public_path: str) -> int:
    fresh = identity.generate()
    if not secret_path:
        print(fresh.secret_text, end="")
        return 0
    _write(secret_path, fresh.secret_text, 0o600)
    print(f"{secret_path} written")
    if public_path:
        _write(public_path, fresh.public_text, 0o644)
        print(f"{public_path} written")
    return 0


def _validate(argument: str) -> int:
    if not _load(argument).valid:
        raise StandinError(f"{argument} FAILED validation.")
    print(f"{argument} is a valid identity")
    return 0


def _getpublic(argument: str) -> int:
    print(_load(argument).public_text, end="")
    return 0


def _initmoon(argument: str) -> int:
    print(json.dumps(world.draft(_load(argument)), indent=1, sort_keys=True))
    return 0


def _genmoon(argument: str) -> int:
    try:
        raw = json.loads(Path(argument).read_text())
        number = int(to_str(raw.get("id")), 16)
    except OSError as error:
        raise StandinError(f"cannot read {argument}") from error
    except (ValueError, AttributeError) as error:
        raise StandinError(f"ID in {argument} is invalid") from error
    if raw.get("worldType") not in ("moon", "planet"):
        raise StandinError("invalid worldType")
    now = int(time.time() * 1000)
    name = f"{number:016x}.moon"
    _write(name, json.dumps(world.seal(raw, now), indent=1, sort_keys=True) + "\n", 0o644)
    print(f"wrote {name} (signed world with timestamp {now})")
    return 0
