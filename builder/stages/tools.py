"""Debian 13's file system and boot loader tools as a tree of plain files."""

from __future__ import annotations

from dataclasses import dataclass

from builder import debian
from builder.foreign import NATIVE
from builder.inputs import Inputs, source_inputs
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
)
# GRUB's modules are programs of the machine that it is to start, not of this one.
GRUB = {"amd64": ("grub-pc-bin", "grub-efi-amd64-bin"), "arm64": ("grub-efi-arm64-bin:arm64",)}


@dataclass(frozen=True)
class ToolsStage:
    """mmdebstrap --variant=extract: downloaded and unpacked, nothing configured, nothing run."""

    mirror: str = ""
    grub: str = NATIVE  # the architecture that GRUB is for
    name: str = "tools"
    needs: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """All of them."""
        return (*PACKAGES, *GRUB[self.grub])

    def inputs(self) -> Inputs:
        """The packages."""
        return {"tools' packages": self.packages, "tools' suite": SUITE, **source_inputs(["stages/tools.py"])}

    def verify(self) -> None:
        """Only mmdebstrap is needed of the host."""
        debian.verify()

    def run(self, work: Work) -> None:
        """Unpack as ourselves: no owner and no device node matters here."""
        tar, tree = work.out / "tree.tar", work.out / "tree"
        options = [
            "--variant=extract",
            f"--architectures={','.join(dict.fromkeys((NATIVE, self.grub)))}",
            f"--include={','.join(self.packages)}",
            "--skip=output/dev",
        ]
        debian.mmdebstrap(options, suite=SUITE, target=tar, mirror=self.mirror, epoch=0, line=work.line)
        tree.mkdir()
        run(["tar", "-x", "-f", tar, "-C", tree, "--no-same-owner", "--delay-directory-restore"])
        run(["chmod", "-R", "u+rwX", tree])
        tar.unlink()
