"""`preauthorize`: the controller's part, done here: an identity on an image, or a node that runs already."""

import argparse
from pathlib import Path

from builder import host
from builder.errors import BuildError
from builder.project import ROOT, say
from builder.verbs import Verb, show


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, or a node."""
    add = parser.add_argument
    add("file", type=Path, metavar="IMAGE_FILE", nargs="?", help="a built image, or a disk that holds one")
    add(
        "--config",
        type=Path,
        metavar="FILE",
        required=True,
        help="a gateway.yaml with a token; $ZTGATE_TOKEN is filled in",
    )
    add(
        "--zerotier",
        type=Path,
        metavar="DEB",
        help="a zerotier-one package for this computer, to make the identity with",
    )
    add("--node", metavar="ID", help="instead of an image: a gateway that runs, by its node id")
    add("--ipv6", metavar="PREFIX", help="with --node: the /64 of its WAN, as its status says it")


def run(options: argparse.Namespace) -> None:
    """At the controller first, then onto the image."""
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
        show(options, {"node": options.node}, "")
        return
    node = ahead.image(options.file, options.config, options.zerotier, ROOT / ".cache" / "download", say)
    show(options, {"image": str(options.file), "node": node}, "")
    say(f"{options.file} holds the node's identity, which is as secret as a key, and no token")


HELP = "do the controller's part from here: the gateway gets an identity and never the token"
VERB = Verb("preauthorize", HELP, run, arguments, token=True, json="the node")
