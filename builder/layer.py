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
UNPACK = "tar --extract --file {tar} --directory \"$1\" --numeric-owner --preserve-permissions --xattrs-include='*'"
# Python's byte-code of all packages is made once, at the end: for each alone, two thirds of it were the start of
# two interpreters. Maintainer scripts find this first; what it does not know it leaves to the real one.
PUBLIC, LATER = "/usr/lib/python3/dist-packages", "usr/local/bin/py3compile"
COMPILER = """#!/bin/sh
[ $# = 2 ] && [ "$1" = -p ] || exec /usr/bin/py3compile "$@"
"""
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
            *compilation(),
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


def compilation() -> list[str]:
    """mmdebstrap options: byte-code of all that is new, which is what has none yet."""
    script = f'printf %s {shlex.quote(COMPILER)} > "$1/{LATER}" && chmod 755 "$1/{LATER}"'
    made = f'rm "$1/{LATER}" && if [ -d "$1{PUBLIC}" ]; then chroot "$1" py3compile {PUBLIC}; fi'
    return [f"--essential-hook={script}", f"--customize-hook={made}"]


def emulation(twins: Path) -> list[str]:
    """mmdebstrap options: the twins are there while scripts run."""
    return [
        f"--setup-hook={foreign.bring(twins)}",
        f"--extract-hook={foreign.link()}",
        f"--customize-hook={foreign.take_away()}",
    ]
