"""Debian with an image's packages: the long step, and the one that is seldom needed again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from builder import debian, foreign
from builder.inputs import Inputs, source_inputs, tree_inputs
from builder.stages import Work
from builder.tarfiles import tar_of_tree


@dataclass(frozen=True)
class BaseStage:
    """mmdebstrap into base.tar; overlays/bootstrap lies there before the first package is configured."""

    suite: str
    architecture: str
    packages: tuple[str, ...]
    bootstrap: Path
    epoch: int
    mirror: str = ""
    components: tuple[str, ...] = ("main",)
    name: str = "base"

    @property
    def foreign(self) -> bool:
        """Whether its programs are not this machine's."""
        return foreign.is_foreign(self.architecture)

    @property
    def needs(self) -> tuple[str, ...]:
        """Twins of what it runs, where it cannot run that itself."""
        return ("twins",) if self.foreign else ()

    def inputs(self) -> Inputs:
        """Package list, suite, mirror, and the bootstrap tree."""
        return {
            "packages": tuple(sorted(self.packages)),
            "suite": self.suite,
            "architecture": self.architecture,
            "components": self.components,
            "date": str(self.epoch),
            "mirror": self.mirror or "Debian's own",
            **tree_inputs(self.bootstrap, "overlays/bootstrap"),
            **source_inputs(["stages/base.py"]),
        }

    def verify(self) -> None:
        """mmdebstrap, and a way to run its programs."""
        debian.verify(self.architecture)

    def run(self, work: Work) -> None:
        """Without a mirror, mmdebstrap writes Debian's own to the sources, updates and security included."""
        seed = work.out / "bootstrap.tar"
        tar_of_tree(self.bootstrap, seed, self.epoch)
        options = [
            "--variant=apt",
            f"--architectures={self.architecture}",
            f"--include={','.join(self.packages)}",
            f"--setup-hook=tar-in {shlex.quote(str(seed))} /",
            "--skip=output/dev",  # the kernel fills /dev
            f"--components={','.join(self.components)}",
            *debian.backports(self.suite, self.packages),
            *self._emulation(work),
        ]
        debian.mmdebstrap(
            options,
            suite=self.suite,
            target=work.out / "base.tar",
            mirror=self.mirror,
            epoch=self.epoch,
            line=work.line,
            architecture=self.architecture,
        )
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
