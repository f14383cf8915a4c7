"""The command `ztgate`. Exit status: 0 done, 1 failed, 2 wrong usage, 3 waiting (apply --once)."""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .errors import ZtgateError, in_words
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
    for verb in (register, withdraw, *_member_verbs(verbs)):
        verb.add_argument(
            "--token-file", metavar="FILE", help="the controller's API token, or - for standard input"
        )
    status = verbs.add_parser("status", help="how it stands")
    status.add_argument("--json", action="store_true", help="for programs")
    wifi = verbs.add_parser("wifi", help="write wpa_supplicant's configuration (for ztgate-wifi@.service)")
    wifi.add_argument("interface", metavar="INTERFACE")
    doctor = verbs.add_parser("doctor", help="check the whole chain, link by link")
    doctor.add_argument("--json", action="store_true", help="for programs")
    update = verbs.add_parser("update", help="install updates now, and take back what does harm")
    how = update.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="only bring to an end what a reboot interrupted")
    how.add_argument("--retry", action="store_true", help="what was taken back may come again")
    verbs.add_parser("observe", help="write down what the page shows, on and on (for ztgate-observe.service)")
    verbs.add_parser("version", help="print the version")
    return top


def _member_verbs(verbs: Any) -> tuple[argparse.ArgumentParser, ...]:
    """Who is a member of the network."""
    members = verbs.add_parser("members", help="who is in the network, and who waits to be let in")
    members.add_argument("--json", action="store_true", help="for programs")
    authorize = verbs.add_parser("authorize", help="let a member in")
    authorize.add_argument("--name", default="", help="what it is called at the controller")
    deauthorize = verbs.add_parser("deauthorize", help="put a member out")
    for verb in (authorize, deauthorize):
        verb.add_argument("node", metavar="NODE", help="its node id, 10 hexadecimal digits")
    enrol = verbs.add_parser("enrol", help="for a while, let in who asks for the first time")
    enrol.add_argument("--for", dest="duration", default="10m", metavar="TIME", help="90s, 10m, 1h (10m)")
    enrol.add_argument("--count", default="1", metavar="N", help="how many members at most (1)")
    enrol.add_argument("--name-prefix", default="", metavar="P", help="call them P-1, P-2 and so on")
    enrol.add_argument("node", nargs="*", metavar="NODE", help="let in too, although it was known before")
    return members, authorize, deauthorize, enrol


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
    if options.verb == "update":
        from .updates import night

        if options.retry:
            return night.retry(machine)
        in_service = "INVOCATION_ID" in os.environ  # systemd's
        return night.run(machine, only_check=options.check) if in_service else night.by_hand(machine)
    if options.verb in ("members", "authorize", "deauthorize", "enrol"):
        try:
            return _members(machine, options)
        except Exception as error:
            raise in_words(error) from None
    if options.verb == "doctor":
        from .doctor import chain, verdict

        verdicts = chain.examine(machine)
        shown = json.dumps(verdict.as_json(verdicts), indent=1) + "\n" if options.json else None
        print(shown or verdict.text(verdicts), end="")
        return 0 if all(each.ok for each in verdicts) else 1
    if options.verb == "observe":
        from .observe import loop

        loop.run(machine)
    from . import enrol, firewall, report

    status = report.read(machine) | enrol.shown(machine.paths, machine.clock) | firewall.shown(machine.probe)
    print(json.dumps(status, indent=1) if options.json else report.text(status), end="")
    return 0 if status.get("state") == "ready" else 1


def _members(machine: Machine, options: argparse.Namespace) -> int:
    """The verbs for members; what was typed is looked at before anything else."""
    from . import admit, enrol, members

    if options.verb == "members":
        found = members.listing(machine, _token(options))
        print(members.as_json(found) if options.json else members.text(found, time.time()), end="")
        return 0
    if options.verb == "enrol":
        prefix = options.name_prefix
        window = enrol.Window(
            enrol.duration(options.duration),
            enrol.number(options.count),
            prefix and admit.name_of(prefix, "--name-prefix", enrol.LONGEST_PREFIX),
            frozenset(map(admit.node_id, options.node)),
        )
        return enrol.run(machine, window, _token(options))
    node = admit.node_id(options.node)
    if options.verb == "authorize":
        name = options.name and admit.name_of(options.name, "--name")
        admit.authorize(machine, node, name, _token(options))
    else:
        admit.deauthorize(machine, node, _token(options))
    return 0


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
