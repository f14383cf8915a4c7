"""Debian 13's file system and boot loader tools as a tree of plain files."""

from __future__ import annotations

from dataclasses import dataclass

from builder.foreign import NATIVE
from builder.inputs import Inputs, source_inputs
from builder.lock import Wanted
from builder.pool import Debs
from builder.run import run
from builder.stages import Work

# Fixed: this is about the tools' versions, not the image's. Python is the image's own, for its byte-code.
SUITE = "trixie"
PACKAGES = (
    "e2fsprogs",  # mke2fs -d TAR needs >= 1.47.1
    "libarchive13t64",  # which it loads for that
    "dosfstools",
    "mtools",
    "fdisk",
    "grub-common",
    "qemu-utils",  # qemu-img, for `export`
    "gzip",
    "xz-utils",
    "zstd",
    "python3.13-minimal",
    "libpython3.13-stdlib",
    # What makes the base: its /usr takes the place of this machine's then, so it has all that is called.
    *("mmdebstrap", "apt", "bash", "coreutils", "dash", "debianutils", "dpkg", "findutils", "grep", "gzip"),
    *("libc-bin", "mawk", "mount", "perl-base", "sed", "tar", "util-linux", "xz-utils", "zstd"),
)
# GRUB's modules are programs of the machine that it is to start, not of this one.
GRUB = {"amd64": ("grub-pc-bin", "grub-efi-amd64-bin"), "arm64": ("grub-efi-arm64-bin:arm64",)}


def wanted(grub: str) -> Wanted:
    """What is asked of Debian; `grub` is the architecture that GRUB is for."""
    return Wanted(SUITE, tuple(dict.fromkeys((NATIVE, grub))), (*PACKAGES, *GRUB[grub]))


@dataclass(frozen=True)
class ToolsStage:
    """dpkg-deb --extract: unpacked, nothing configured, nothing run."""

    wanted: Wanted
    debs: Debs
    name: str = "tools"
    needs: tuple[str, ...] = ()

    def inputs(self) -> Inputs:
        """What is wanted, and the packages."""
        return {
            **self.wanted.inputs(),
            "Debian's packages": self.debs.inputs(),
            **source_inputs(["stages/tools.py"]),
        }

    def verify(self) -> None:
        """The packages; dpkg-deb is wherever mmdebstrap is."""
        self.debs.provide()

    def run(self, work: Work) -> None:
        """Unpack as ourselves: no owner and no device node matters here."""
        tree = work.out / "tree"
        tree.mkdir()
        for deb in self.debs.files():
            work.line(f"unpacking {deb.name}")
            run(["dpkg-deb", "--extract", deb, tree])
        run(["chmod", "-R", "u+rwX", tree])
