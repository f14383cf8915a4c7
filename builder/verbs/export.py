"""`export`: a built image in other formats, with checksums, bills of materials and a signature."""

import argparse
from pathlib import Path

from builder import host
from builder.errors import BuildError, nearest
from builder.image import FORMATS
from builder.project import ROOT, say
from builder.verbs import Verb, cache


def arguments(parser: argparse.ArgumentParser) -> None:
    """An image, and what is made of it."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="what was built, or a raw image file")
    add(
        "--format",
        action="append",
        default=[],
        metavar="F",
        help=f"one of {', '.join(FORMATS)}; may be given again (default: what the image's definition says)",
    )
    add(
        "--target",
        metavar="T",
        help="make the file that this place takes, if it takes the image (see `check`)",
    )
    add("--sign", type=Path, metavar="KEY", help="a secret key of minisign's or OpenSSH's")
    add("--out", type=Path, metavar="DIR", help="where it goes (default: IMAGE-export, beside the image)")
    cache(parser)


def run(options: argparse.Namespace) -> None:
    """Convert, check, sign."""
    from builder import load, targets
    from builder.flash import find_image

    for name in options.format:
        if name not in FORMATS:
            near = nearest(name, FORMATS, 0.3)
            raise BuildError(
                f"--format {name}: no such format{near}", f"the formats are {', '.join(FORMATS)}"
            )
    target = targets.load(options.target) if options.target else None
    image = find_image(options.image, ROOT / "out", ROOT / "images")
    stem = image.name.removesuffix(".img")
    from builder import export, progress  # some seconds: not before a typing error

    defined = load.load(ROOT / "images", stem).formats if stem in load.names(ROOT / "images") else ()
    formats = export.chosen(options.format, target, defined)
    host.ensure([host.BUILD], say)
    out = options.out or image.with_name(f"{stem}-export")
    with progress.Progress() as shown:
        result = export.export(export.Order(image, formats, out, options.cache, target, options.sign), shown)
    print(export.as_json(result) if options.json else export.as_text(result))


HELP = "make an image into other formats, with checksums, SBOM and signature"
VERB = Verb("export", HELP, run, arguments, json="the files")
