"""Another Debian kernel than the image's, for the test of a kernel update.

The image has the cloud kernel. The general one is a package of its own with another `uname -r`, so that
installing it does on the appliance all that an update does: new modules, a new initrd, moved links.
"""

import tarfile
from pathlib import Path

from builder import debian, load

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "linux-image-amd64"


def download(work: Path) -> Path:
    """The .deb of the general kernel, from Debian's mirror; about 110 MB."""
    image = load.load(ROOT / "images", "vps-amd64")
    work.mkdir(parents=True, exist_ok=True)
    tree = work / "kernel.tar"
    options = ["--variant=extract", "--architectures=amd64", f"--include={PACKAGE}", "--skip=cleanup/apt"]
    try:
        debian.mmdebstrap(options, suite=image.suite, target=tree, mirror="", epoch=0, line=lambda _: None)
        with tarfile.open(tree) as archive:
            return _extract(archive, work / "kernel.deb")
    finally:
        tree.unlink(missing_ok=True)


def _extract(archive: tarfile.TarFile, target: Path) -> Path:
    for member in archive:
        # The one whose name has a version is the kernel, the other one only depends on it.
        if "/archives/linux-image-6" in member.name and (content := archive.extractfile(member)):
            target.write_bytes(content.read())
            return target
    raise LookupError(f"{PACKAGE} brought no kernel")
