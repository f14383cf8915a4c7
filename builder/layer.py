"""A root file system with some packages more, by mmdebstrap: a layer on an empty one, or on another layer."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import debian, foreign
from builder.lock import Wanted
from builder.pool import Debs
from builder.stages import Work

# Of every layer's artifact. What mmdebstrap's own hook does with a tar goes through two pipes of perl's.
ROOT = "root.tar"
UNPACK = "tar --extract --preserve-permissions --numeric-owner --xattrs-include='*' -C \"$1\" --file {tar}"
SOURCES = ["layer.py", "debian.py", "userns.py", "pool.py", "opened.py"]


@dataclass(frozen=True)
class Layer:
    """What goes in, and where it is from."""

    wanted: Wanted
    debs: Debs  # all that is new
    include: Sequence[str]
    epoch: int
    mirror: str = ""  # of the image's own updates

    @property
    def architecture(self) -> str:
        """Of what it runs."""
        return self.wanted.architectures[0]

    @property
    def needs(self) -> tuple[str, ...]:
        """The tools that make it, and twins of what it runs where this machine cannot run that itself."""
        return ("tools", "twins") if foreign.is_foreign(self.architecture) else ("tools",)

    def verify(self) -> None:
        """mmdebstrap, a way to run its programs, and the packages."""
        debian.verify(self.architecture)
        self.debs.provide()

    def make(self, work: Work, first: Sequence[str]) -> None:
        """`first` are options that fill the empty root."""
        twins = work.artifacts.get("twins")
        packages = work.out / "packages"
        options = [
            "--variant=apt",
            f"--architectures={self.architecture}",
            f"--include={','.join(name.split('/')[0] for name in self.include)}",
            *first,
            "--skip=output/dev",  # the kernel fills /dev
            f"--components={','.join(self.wanted.components)}",
            *debian.backports(self.wanted.suite, self.include),
            *debian.locked(self.debs.repository(self.wanted.suite, packages)),
            *(emulation(twins) if twins else []),
        ]
        debian.mmdebstrap(
            options,
            suite=self.wanted.suite,
            target=work.out / ROOT,
            mirror=self.mirror,
            epoch=self.epoch,
            line=work.line,
            architecture=self.architecture,
            tools=work.artifacts["tools"] / "tree",
        )
        shutil.rmtree(packages)


def below(tar: Path) -> str:
    """mmdebstrap option: a layer is there already."""
    return f"--setup-hook={UNPACK.format(tar=shlex.quote(str(tar)))}"


def emulation(twins: Path) -> list[str]:
    """mmdebstrap options: the twins are there while scripts run."""
    return [
        f"--setup-hook={foreign.bring(twins)}",
        f"--extract-hook={foreign.link()}",
        f"--customize-hook={foreign.take_away()}",
    ]
