"""Debian with an image's packages: the long step, and the one that is seldom needed again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from builder import debian, foreign
from builder.inputs import Inputs, source_inputs, tree_inputs
from builder.lock import Wanted
from builder.pool import Debs
from builder.stages import Work
from builder.tarfiles import tar_of_tree


@dataclass(frozen=True)
class BaseStage:
    """mmdebstrap into base.tar; overlays/bootstrap lies there before the first package is configured."""

    wanted: Wanted
    debs: Debs  # what that comes to
    bootstrap: Path
    epoch: int
    mirror: str = ""  # of the image's own updates
    name: str = "base"

    @property
    def architecture(self) -> str:
        """Of what it runs."""
        return self.wanted.architectures[0]

    @property
    def foreign(self) -> bool:
        """Whether its programs are not this machine's."""
        return foreign.is_foreign(self.architecture)

    @property
    def needs(self) -> tuple[str, ...]:
        """The tools that make it, and twins of what it runs where it cannot run that itself."""
        return ("tools", "twins") if self.foreign else ("tools",)

    def inputs(self) -> Inputs:
        """What is wanted, the packages, the mirror, and the bootstrap tree."""
        return {
            **self.wanted.inputs(),
            "Debian's packages": self.debs.inputs(),
            "made with": debian.maker(),
            "date": str(self.epoch),
            "mirror": self.mirror or "Debian's own",
            **tree_inputs(self.bootstrap, "overlays/bootstrap"),
            **source_inputs(["stages/base.py", "debian.py", "userns.py"]),
        }

    def verify(self) -> None:
        """mmdebstrap, a way to run its programs, and the packages."""
        debian.verify(self.architecture)
        self.debs.provide()

    def run(self, work: Work) -> None:
        """Without a mirror, mmdebstrap writes Debian's own to the sources, updates and security included."""
        seed, packages = work.out / "bootstrap.tar", work.out / "packages.tar"
        tar_of_tree(self.bootstrap, seed, self.epoch)
        names = [package.split("/")[0] for package in self.wanted.packages]
        options = [
            "--variant=apt",
            f"--architectures={self.architecture}",
            f"--include={','.join(names)}",
            f"--setup-hook=tar-in {shlex.quote(str(seed))} /",
            "--skip=output/dev",  # the kernel fills /dev
            f"--components={','.join(self.wanted.components)}",
            *debian.backports(self.wanted.suite, self.wanted.packages),
            *debian.locked(self.debs.repository(self.wanted.suite, packages)),
            *self._emulation(work),
        ]
        debian.mmdebstrap(
            options,
            suite=self.wanted.suite,
            target=work.out / "base.tar",
            mirror=self.mirror,
            epoch=self.epoch,
            line=work.line,
            architecture=self.architecture,
            tools=work.artifacts["tools"] / "tree",
        )
        packages.unlink()
        seed.unlink()

    def _emulation(self, work: Work) -> list[str]:
        twins = work.artifacts.get("twins")
        if twins is None:
            return []
        return [
            f"--setup-hook={foreign.bring(twins)}",
            f"--extract-hook={foreign.link()}",
            f"--customize-hook={foreign.take_away()}",
        ]
