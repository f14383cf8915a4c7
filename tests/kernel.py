"""Other Debian kernels than the images', for the tests of a kernel update.

Each is a package of its own with another `uname -r`, so that installing it does on the appliance all that an
update does: new modules, a new initrd, moved links.
"""

import re
import tarfile
from pathlib import Path, PurePosixPath

from builder import debian, load

ROOT = Path(__file__).resolve().parent.parent
OTHERS = {"vps-amd64": "linux-image-amd64", "rpi-arm64": "linux-image-rt-arm64/trixie-backports"}
# A kernel with its version in its name; since Linux 7 it comes in four packages.
PART = re.compile(r"linux-(image|base|binary|modules)-[0-9].*\.deb")


def download(image: str, work: Path) -> Path:
    """A tar of an image's other kernel's packages, from Debian's mirror; about 120 MB."""
    definition, package = load.load(ROOT / "images", image), OTHERS[image]
    work.mkdir(parents=True, exist_ok=True)
    tree, target = work / f"tree-{image}.tar", work / f"kernel-{image}.tar"
    suite = definition.suite
    options = [
        *("--variant=extract", f"--architectures={definition.architecture}", f"--include={package}"),
        "--skip=cleanup/apt",
        *debian.backports(suite, (package,)),
    ]
    try:
        debian.mmdebstrap(options, suite=suite, target=tree, mirror="", epoch=0, line=lambda _: None)
        with tarfile.open(tree) as archive, tarfile.open(target, "w") as kernel:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.parent.name == "archives" and PART.fullmatch(name.name):
                    content = archive.extractfile(member)
                    member.name = name.name
                    kernel.addfile(member, content)
    finally:
        tree.unlink(missing_ok=True)
    return target


def release(packages: Path) -> str:
    """What `uname -r` will say."""
    with tarfile.open(packages) as tar:
        (name,) = (name for name in tar.getnames() if name.startswith("linux-image-"))
    return name.removeprefix("linux-image-").partition("_")[0].replace("%2b", "+")
