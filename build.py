#!/usr/bin/env python3
"""ztgate: makes bootable images of a ZeroTier exit gateway, and shows that they work."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from builder import host, venv
from builder.errors import BuildError
from builder.run import TOKEN

ROOT = Path(__file__).resolve().parent
# Third-party modules are imported by the verbs themselves: before .venv is there, there are none.


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
        if options.verb not in (build_image, configure_image, preauthorize):
            os.environ.pop(TOKEN, None)  # nobody else needs it: the lab hands its environment on
        return int(options.verb(options) or 0)
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


def say(text: str) -> None:
    """A line for the person at the terminal; stdout is for results."""
    print(f"ztgate: {text}", file=sys.stderr)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; what comes after `demo` is the lab's to read."""
    own, lab = (argv[:1], argv[1:]) if argv[:1] == ["demo"] else (argv, [])
    options = parser().parse_args(own)
    options.arguments = lab
    return options


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="./build.py", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def add(verb: object, name: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=verb)
        return sub

    add(list_images, "list", "the images that can be built")
    describe = add(describe_image, "describe", "what an image is made of")
    describe.add_argument("image", metavar="IMAGE")
    build = add(build_image, "build", "build an image")
    build.add_argument("image", metavar="IMAGE")
    build.add_argument("--zerotier", type=Path, metavar="DEB", help="zerotier-one package (default: ZeroTier's own repository)")  # fmt: skip  # noqa: E501
    build.add_argument("--config", type=Path, metavar="FILE", help="a gateway.yaml to bake in; the image is then as secret as its token")  # fmt: skip  # noqa: E501
    build.add_argument("--out", type=Path, default=ROOT / "out", metavar="DIR", help="where it goes (default: out)")  # fmt: skip  # noqa: E501
    build.add_argument("--cache", type=Path, default=ROOT / ".cache", metavar="DIR", help="finished stages (default: .cache)")  # fmt: skip  # noqa: E501
    build.add_argument("--mirror", default="", metavar="URL", help="a Debian mirror, also for the image's own updates")  # fmt: skip  # noqa: E501
    build.add_argument("--fresh", action="store_true", help="bootstrap again, to take in Debian's updates")
    build.add_argument("--json", action="store_true", help="the result on stdout, for machines")
    build.add_argument("--debug", action="store_true", help="show every line that the tools print")
    configure = add(
        configure_image, "configure", "put a gateway.yaml on a built image; $ZTGATE_TOKEN is filled in"
    )
    configure.add_argument("file", type=Path, metavar="IMAGE_FILE")
    source = configure.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, metavar="FILE", help="a gateway.yaml for this image")
    source.add_argument("--batch", type=Path, metavar="FILE", help="a .csv or .yaml: a copy of the image for each gateway in it")  # fmt: skip  # noqa: E501
    configure.add_argument("--out", type=Path, metavar="DIR", help="where a batch goes (default: IMAGE-gateways, beside the image)")  # fmt: skip  # noqa: E501
    configure.add_argument("--force", action="store_true", help="images of a batch replace those that exist")
    configure.add_argument("--json", action="store_true", help="the receipts of a batch on stdout, for machines")  # fmt: skip  # noqa: E501
    preauthorize_options(add(preauthorize, "preauthorize", "do the controller's part from here: the gateway gets an identity and never the token"))  # fmt: skip  # noqa: E501
    flash = add(flash_image, "flash", "write an image to a card or stick, or list what is plugged in")
    flash.add_argument("image", metavar="IMAGE", nargs="?", help="what was built, or a file: .img, .img.xz, .img.gz, .img.zst")  # fmt: skip  # noqa: E501
    flash.add_argument("device", metavar="DEVICE", nargs="?", help="the whole disk, as /dev/sdX; all that is on it is lost")  # fmt: skip  # noqa: E501
    flash.add_argument("--yes", action="store_true", help="do not ask")
    flash.add_argument("--not-removable", action="store_true", help="write to a disk that is built in, too")
    flash.add_argument("--json", action="store_true", help="the result on stdout, for machines")
    setup = add(set_up, "setup", "install what building needs: Debian packages and .venv")
    setup.add_argument("--all", action="store_true", help="also what the demo and the tests need")
    add(build_standin, "standin", "build the lab's stand-in for ZeroTier and print its path")
    add(run_demo, "demo", "boot the gateway in a virtual internet and show that it routes")
    command = add(run_command, "run", "run a program in ztgate's Python environment")
    command.add_argument("command", nargs=argparse.REMAINDER)
    return top


def preauthorize_options(ahead: argparse.ArgumentParser) -> None:
    """What `preauthorize` takes."""
    ahead.add_argument("file", type=Path, metavar="IMAGE_FILE", nargs="?", help="a built image, or a disk that holds one")  # fmt: skip  # noqa: E501
    ahead.add_argument("--config", type=Path, metavar="FILE", required=True, help="a gateway.yaml with a token; $ZTGATE_TOKEN is filled in")  # fmt: skip  # noqa: E501
    ahead.add_argument("--zerotier", type=Path, metavar="DEB", help="a zerotier-one package for this computer, to make the identity with")  # fmt: skip  # noqa: E501
    ahead.add_argument("--node", metavar="ID", help="instead of an image: a gateway that runs, by its node id")  # fmt: skip  # noqa: E501
    ahead.add_argument("--ipv6", metavar="PREFIX", help="with --node: the /64 of its WAN, as its status says it")  # fmt: skip  # noqa: E501


def list_images(_: argparse.Namespace) -> None:
    """Names and descriptions."""
    from builder import load

    for name in load.names(ROOT / "images"):
        print(f"{name:16} {load.load(ROOT / 'images', name).description}")


def describe_image(options: argparse.Namespace) -> None:
    """A definition with what it inherits."""
    from builder import describe, load

    print(describe.text(load.load(ROOT / "images", options.image)))


def build_image(options: argparse.Namespace) -> None:
    """Build, with progress on stderr and the result on stdout."""
    from builder import load, pipeline, progress, report

    load.load(ROOT / "images", options.image)  # a typing error is said before anything is installed
    host.ensure([host.BUILD], say)
    wanted = pipeline.Options(
        options.zerotier, options.config, options.out, options.cache, options.mirror, options.fresh
    )
    with progress.Progress(debug=options.debug) as shown:
        result = pipeline.build(options.image, wanted, shown)
    print(report.as_json(result) if options.json else report.as_text(result))


def configure_image(options: argparse.Namespace) -> None:
    """gateway.yaml onto the FAT partition, or a copy with its own for each gateway of a batch."""
    from builder import gateway_config

    if options.batch is None and (options.out or options.force or options.json):
        raise BuildError("--out, --force and --json go with --batch", "--config changes the image itself")
    host.ensure([host.CONFIGURE], say)
    if options.batch is not None:
        configure_batch(options)
        return
    gateway_config.configure(options.file, options.config)
    readers = "so only you can read it" if options.file.is_file() else "and who has the card can read it"
    say(f"{options.file} is configured; it may hold your token now, {readers}")


def configure_batch(options: argparse.Namespace) -> None:
    """Personal copies of one image."""
    import dataclasses

    from builder import batch

    out = options.out or options.file.with_name(f"{options.file.stem}-gateways")
    receipts = batch.configure(options.file, options.batch, out, options.force, say)
    if options.json:
        print(json.dumps([dataclasses.asdict(receipt) for receipt in receipts]))
    say(f"{out / batch.RECEIPTS} has the receipts; the images may hold tokens, so only you can read them")


def preauthorize(options: argparse.Namespace) -> None:
    """An identity on an image and its node at the controller; or a node that runs, at the controller."""
    from builder import preauthorize as ahead

    if (options.file is None) == (options.node is None):
        raise BuildError("an image or --node is needed, and not both", "./build.py preauthorize --help")
    if options.ipv6 is not None and options.node is None:
        raise BuildError("--ipv6 goes with --node", "the gateway's status says both once it has started")
    if options.zerotier is not None and options.node is not None:
        raise BuildError("--zerotier goes with an image", "the node has its identity already")
    host.ensure([host.CONFIGURE], say)
    if options.node is not None:
        ahead.node(options.node, options.ipv6, options.config, say)
        return
    ahead.image(options.file, options.config, options.zerotier, ROOT / ".cache" / "download", say)
    say(f"{options.file} holds the node's identity, which is as secret as a key, and no token")


def flash_image(options: argparse.Namespace) -> None:
    """An image onto a disk; without a disk, which there are."""
    import dataclasses

    from builder import blockdev, flash

    disks = blockdev.disks()
    if options.image is None:
        print(json.dumps([dataclasses.asdict(d) for d in disks]) if options.json else flash.listing(disks))
        return
    image = flash.find_image(options.image, ROOT / "out", ROOT / "images")
    if options.device is None:
        say(flash.listing(disks))
        raise flash.no_device(options.image, disks)
    order = flash.Order(options.image, options.device, options.not_removable, options.yes)
    result = flash.flash(order, image)
    if options.json:
        print(json.dumps(dataclasses.asdict(result)))
    say(f"{result.device} holds {result.image}, read back and compared, after {result.seconds} s")
    say(f"next: ./build.py configure {result.device} --config gateway.yaml; or take it out and boot from it")


def set_up(options: argparse.Namespace) -> None:
    """Everything that other verbs would install on the way."""
    host.ensure([host.BUILD, host.CONFIGURE, *((host.DEMO, host.TEST) if options.all else ())], say)
    say("everything that is needed is there")


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


def run_command(options: argparse.Namespace) -> None:
    """pytest, mypy, ruff and the like; does not return."""
    if not options.command:
        raise BuildError("run what?", "./build.py run pytest tests/unit")
    venv.run(ROOT, options.command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
