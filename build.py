#!/usr/bin/env python3
"""ztgate: makes bootable images of a ZeroTier exit gateway, and shows that they work."""

import argparse
import json
import os
import signal
import sys

from builder import host, venv
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
    size,
    verify,
    why,
)

STATUSES = "exit status: 0 done, 1 an error that was named, 2 a wrong command line, 130 stopped by ^C."


def main(argv: list[str]) -> int:
    """One command line to an exit status; the only place where errors are printed."""
    options = parse(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda n, _: sys.exit(128 + n))  # an exception: everything is tidied up
    try:
        if not venv.inside(ROOT):
            host.ensure_venv_module(say)
            venv.enter(ROOT, venv.ensure(ROOT, say), argv)
        if not options.verb.token:
            os.environ.pop(TOKEN, None)  # the lab hands its environment on
        return int(options.verb.run(options) or 0)
    except BrokenPipeError:  # `./build.py list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BuildError, OSError) as problem:
        e = problem if isinstance(problem, BuildError) else from_system(problem)
        if getattr(options, "json", False):
            print(json.dumps({"ok": False, "error": e.message, "hint": e.hint}))
        print(f"error: {e.message}" + (f"\nhint:  {e.hint}" if e.hint else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt as e:  # with a text if that is not so
        say(str(e) or "stopped; nothing half-written is left")
        return 130


def from_system(error: OSError) -> BuildError:
    """What the operating system refused, without its numbers."""
    return BuildError(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; what comes after `demo` is the lab's to read."""
    own, lab = (argv[:1], argv[1:]) if argv[:1] == ["demo"] else (argv, [])
    top = parser()
    options = top.parse_args(own)
    options.arguments, options.parser = lab, top
    return options


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="./build.py", description=__doc__, epilog=STATUSES)
    verbs = top.add_subparsers(required=True, metavar="VERB")
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
        sub.set_defaults(verb=verb)
        verb.arguments(sub)
    return top


def build_standin(_: argparse.Namespace) -> None:
    """The lab's package."""
    from lab.standin import deb

    (ROOT / "out").mkdir(exist_ok=True)
    print(deb.build(ROOT / "out"))


def run_demo(options: argparse.Namespace) -> int:
    """The lab's demonstration."""
    host.ensure([host.DEMO], say)
    from lab import demo
    from lab.errors import LabError

    try:
        return demo.main(options.arguments)
    except LabError as e:
        raise BuildError(e.message, e.hint) from None


def bench_arguments(parser: argparse.ArgumentParser) -> None:
    """What the lab's benchmark wants to know."""
    from lab.bench import run

    run.arguments(parser)


def run_bench(options: argparse.Namespace) -> None:
    """The lab's benchmark, on the packages of one image."""
    from builder import load
    from lab.bench import run
    from lab.errors import LabError
    from lab.standin import deb

    try:
        if options.docs:
            run.document()
            return
        host.ensure([host.BUILD, host.BENCH], say)
        image = load.load(ROOT / "images", "vps-amd64")
        (ROOT / "out").mkdir(exist_ok=True)
        run.main(options, image.name, image.suite, image.packages, deb.build(ROOT / "out"))
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
    Verb("standin", "build the lab's stand-in for ZeroTier and print its path", build_standin),
    Verb("demo", "boot the gateway in a virtual internet and show that it routes", run_demo),
    Verb(
        "bench", "measure builds side by side with Debian's other image builders", run_bench, bench_arguments
    ),
    completion.VERB,
    man.VERB,
    run_program.VERB,
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
