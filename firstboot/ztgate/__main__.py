"""The command `ztgate`. Exit status: 0 done, 1 failed, 2 wrong usage, 3 waiting (apply --once)."""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .errors import ZtgateError
from .machine import Machine
from .secret import Secret


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="ztgate", description="The gateway of a ZeroTier network.", epilog=__doc__
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    apply = verbs.add_parser("apply", help="bring this machine in line with gateway.yaml")
    apply.add_argument("--once", action="store_true", help="one round; do not wait for what is missing")
    apply.add_argument(
        "--dry-run", action="store_true", help="show what would be done, do nothing (one round)"
    )
    apply.add_argument("--verbose", action="store_true", help="show every tool that is started")
    plan = verbs.add_parser("plan", help="show what `apply` would do, and do nothing")
    plan.set_defaults(dry_run=True)
    register = verbs.add_parser("register", help="tell the controller what has changed; needs a token")
    withdraw = verbs.add_parser(
        "withdraw", help="make the network what it was before this gateway came, and leave it"
    )
    withdraw.add_argument("--dry-run", action="store_true", help="show what would be done, do nothing")
    for verb in (register, withdraw):
        verb.add_argument(
            "--token-file", metavar="FILE", help="the controller's API token, or - for standard input"
        )
    status = verbs.add_parser("status", help="how it stands")
    status.add_argument("--json", action="store_true", help="for programs")
    wifi = verbs.add_parser("wifi", help="write wpa_supplicant's configuration (for ztgate-wifi@.service)")
    wifi.add_argument("interface", metavar="INTERFACE")
    doctor = verbs.add_parser("doctor", help="check the whole chain, link by link")
    doctor.add_argument("--json", action="store_true", help="for programs")
    verbs.add_parser("version", help="print the version")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors are printed here and nowhere else."""
    options = parser().parse_args(argv)
    # A crash would leave the memory, and the token in it, on the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    level = logging.DEBUG if getattr(options, "verbose", False) else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stdout)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    try:
        return _run(options)
    except ZtgateError as error:
        print(f"ztgate: {error.message}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    machine = Machine(dry_run=getattr(options, "dry_run", False))
    if options.verb == "version":
        print(f"ztgate {__version__}")
        return 0
    if os.geteuid() != 0:
        raise ZtgateError("this needs root", "sudo ztgate " + options.verb)
    if options.verb in ("apply", "plan", "register", "withdraw", "wifi"):
        return _work(machine, options)
    if options.verb == "doctor":
        from .doctor import chain, verdict

        verdicts = chain.examine(machine)
        shown = json.dumps(verdict.as_json(verdicts), indent=1) + "\n" if options.json else None
        print(shown or verdict.text(verdicts), end="")
        return 0 if all(each.ok for each in verdicts) else 1
    from . import report

    status = report.read(machine)
    print(json.dumps(status, indent=1) if options.json else report.text(status), end="")
    return 0 if status.get("state") == "ready" else 1


def _work(machine: Machine, options: argparse.Namespace) -> int:
    """The verbs that change something, or show what they would change."""
    from . import service  # slow to import, and who only looks does not need it

    if options.verb == "wifi":
        return service.wifi(machine, options.interface)
    if options.verb == "withdraw":
        return service.withdraw(machine, token=_token(options))
    once = options.verb != "apply" or options.once or options.dry_run
    again = options.verb == "register"
    return service.apply(machine, once=once, token=_token(options), again=again)


def _token(options: argparse.Namespace) -> Secret | None:
    """A token from a file or standard input: never from the command line, where everybody could read it."""
    name = getattr(options, "token_file", None)
    if name is None:
        return None
    from . import config, textfile

    # Its name is not repeated: who takes --token-file for --token types the token there.
    try:
        content = sys.stdin.buffer.readline() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ZtgateError(
            f"--token-file: {error.strerror}", "name a file with the token in it, or -"
        ) from None
    text = textfile.decode(content, "--token-file").strip()
    if not config.is_token(text):
        what = "it is empty" if not text else "one token in one line is needed"
        raise ZtgateError(f"--token-file: {what}", "put the controller's API token into it, and nothing else")
    return Secret(text)


if __name__ == "__main__":
    sys.exit(main())
