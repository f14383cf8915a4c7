#!/usr/bin/env python3
"""ztgate: makes bootable images of a ZeroTier exit gateway, and shows that they work."""

import argparse
import json
import os
import signal
import sys

from builder import commandline, host, statuses, venv
from builder.commandline import Misuse
from builder.errors import BuildError
from builder.project import ROOT, say
from builder.run import TOKEN
from builder.verbs import (
    Verb,
    build,
    check,
    check_signature,
    clean,
    client,
    completion,
    configure,
    describe,
    export,
    flash,
    list_images,
    lock,
    man,
    preauthorize,
    run_program,
    schema,
    setup,
    shell,
    show,
    size,
    verify,
    why,
)

REFUSED = {
    IsADirectoryError: ("it is a directory, and a file is needed", ""),
    FileExistsError: ("it is a file, and a directory is needed", "name another place with --out"),
    NotADirectoryError: ("a part of that path is a file, and not a directory", ""),
}


def main(argv: list[str]) -> int:
    """One command line to an exit status; the only place where errors are printed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda n, _: sys.exit(128 + n))  # an exception: everything is tidied up
    try:
        options = parse(argv)
        if not venv.inside(ROOT):
            host.ensure_venv_module(say)
            venv.enter(ROOT, venv.ensure(ROOT, say), argv)
        if not options.verb.token:
            os.environ.pop(TOKEN, None)  # the lab hands its environment on
        return int(options.verb.run(options) or 0)
    except BrokenPipeError:  # `./build.py list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return statuses.FAILED
    except (BuildError, OSError) as problem:
        e = problem if isinstance(problem, BuildError) else from_system(problem)
        for_machines(argv, e.message, e.hint)
        print(f"error: {e.message}" + (f"\nhint:  {e.hint}" if e.hint else ""), file=sys.stderr)
        return statuses.MISUSED if isinstance(e, Misuse) else statuses.FAILED
    except KeyboardInterrupt as stop:
        text = str(stop) or "stopped; nothing half-written is left"  # with a text if that is not so
        for_machines(argv, text, "")
        say(text)
        return statuses.STOPPED


def for_machines(argv: list[str], error: str, hint: str) -> None:
    """With --json there is one object on stdout however it ended; a wrong command line has no options."""
    with_json = [verb.name for verb in VERBS if verb.json]
    if argv[:1] and argv[0] in with_json and "--json" in argv:
        print(json.dumps({"ok": False, "error": error, "hint": hint}))


def from_system(error: OSError) -> BuildError:
    """What the operating system refused, without its numbers, and for people where we know what they did."""
    what, hint = REFUSED.get(type(error), (error.strerror or str(error), ""))
    return BuildError(f"{error.filename}: {what}" if error.filename else str(error), hint)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; what comes after `demo` and `bench` is the lab's to read."""
    own, lab = (argv[:1], argv[1:]) if argv[:1] in (["demo"], ["bench"]) else (argv, [])
    options = commandline.parse(own, VERBS, __doc__)
    options.arguments = lab
    return options


def build_standin(options: argparse.Namespace) -> None:
    """The lab's package."""
    from lab.standin import deb

    (ROOT / "out").mkdir(exist_ok=True)
    path = str(deb.build(ROOT / "out"))
    show(options, {"path": path}, path)


def run_demo(options: argparse.Namespace) -> int:
    """The lab's demonstration."""
    host.ensure([host.DEMO], say)
    from lab import demo
    from lab.errors import LabError

    try:
        return demo.main(options.arguments)
    except LabError as e:
        raise BuildError(e.message, e.hint) from None


def run_bench(options: argparse.Namespace) -> None:
    """The lab's benchmark, on the packages of one image."""
    from builder import load
    from lab.bench import run
    from lab.errors import LabError
    from lab.standin import deb

    wanted = run.parse(options.arguments)
    try:
        if wanted.docs:
            run.document()
            return
        host.ensure([host.BUILD, host.BENCH], say)
        image = load.load(ROOT / "images", "vps-amd64")
        (ROOT / "out").mkdir(exist_ok=True)
        run.main(wanted, image.name, image.suite, image.packages, deb.build(ROOT / "out"))
    except LabError as e:
        raise BuildError(e.message, e.hint) from None


VERBS = (
    list_images.VERB,
    describe.VERB,
    build.VERB,
    lock.VERB,
    why.VERB,
    size.VERB,
    shell.VERB,
    clean.VERB,
    configure.VERB,
    preauthorize.VERB,
    check.VERB,
    export.VERB,
    check_signature.VERB,
    flash.VERB,
    verify.VERB,
    client.VERB,
    schema.VERB,
    setup.VERB,
    # The lab is no business of the builder's, so its three verbs are here.
    Verb("standin", "build the lab's stand-in for ZeroTier", build_standin, json="its path"),
    Verb("demo", "boot the gateway in a virtual internet and show that it routes", run_demo),
    Verb("bench", "measure builds side by side with Debian's other image builders", run_bench),
    completion.VERB,
    man.VERB,
    run_program.VERB,
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
