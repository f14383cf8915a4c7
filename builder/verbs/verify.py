"""`verify`: can an image be built again, byte for byte; if not, what differs and where is that from."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from builder import host
from builder.project import ROOT, say
from builder.verbs import Verb, show

if TYPE_CHECKING:
    from builder import verify


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, and what it was built with."""
    add = parser.add_argument
    add("file", type=Path, metavar="IMAGE_FILE", help="what was built, as out/vps-amd64.img")
    add("--manifest", type=Path, metavar="FILE", help="default: beside the image, as `build` wrote it")
    add("--zerotier", type=Path, metavar="DEB", help="the zerotier-one package, if it was a file")
    add("--config", type=Path, metavar="FILE", help="the gateway.yaml, if one was baked in")
    add("--mirror", default="", metavar="URL", help="a Debian mirror that still has the packages")
    add("--cache", type=Path, default=ROOT / ".cache", metavar="DIR", help="default: .cache")
    add(
        "--cached",
        action="store_true",
        help="take finished stages from the cache: seconds, and no proof that it can be built again",
    )
    add("--debug", action="store_true", help="show every line that the tools print")


def run(options: argparse.Namespace) -> int:
    """0 only if all bytes are the same."""
    from builder import plan, progress, verify

    host.ensure([host.BUILD], say)
    given = plan.Options(
        zerotier=options.zerotier, config=options.config, cache=options.cache, mirror=options.mirror
    )
    with progress.Progress(debug=options.debug) as shown:
        verdict = verify.verify(options.file, options.manifest, given, not options.cached, shown)
    differences = [finding.text for finding in verdict.findings]
    found = {
        "configured": verdict.configured,
        "sha256": verdict.found,
        "built": verdict.built,
        "differences": differences,
    }
    show(options, found, "\n".join([*differences, _summary(options.file, verdict)]), verdict.identical)
    return 0 if verdict.identical else 1


def _summary(file: Path, verdict: "verify.Verdict") -> str:
    if verdict.identical:
        return f"{file} is identical to what was built again: sha256 {verdict.built}"
    if verdict.configured:
        return (
            f"{file} is configured, and otherwise what was built again: the FAT partition has what is named "
            "above, and with it other tables; all else is identical"
        )
    return f"{file} is NOT what was built again: sha256 {verdict.found} instead of {verdict.built}"


HELP = "build an image again and compare every byte"
VERB = Verb("verify", HELP, run, arguments, token=True, json="what differs")
