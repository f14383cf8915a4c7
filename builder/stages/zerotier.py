"""ZeroTier into the base, by dpkg itself; its service is not started."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from builder import debian, foreign
from builder.inputs import Inputs, source_inputs
from builder.stages import Work


@dataclass(frozen=True)
class ZerotierStage:
    """The base with the package installed: rootfs.tar. mmdebstrap keeps services from starting."""

    deb: Path
    sha256: str
    epoch: int
    architecture: str = foreign.NATIVE
    name: str = "zerotier"

    @property
    def foreign(self) -> bool:
        """Whether its programs are not this machine's."""
        return foreign.is_foreign(self.architecture)

    @property
    def needs(self) -> tuple[str, ...]:
        """The tools, the base, and twins where this machine cannot run it."""
        return ("tools", "twins", "base") if self.foreign else ("tools", "base")

    def inputs(self) -> Inputs:
        """The package's content."""
        return {"zerotier package": self.sha256, **source_inputs(["stages/zerotier.py"])}

    def verify(self) -> None:
        """mmdebstrap, and a way to run the base's programs."""
        debian.verify(self.architecture)

    def run(self, work: Work) -> None:
        """Unpack the base, install, pack again."""
        twins = work.artifacts.get("twins")
        before, after = ([foreign.bring(twins), foreign.link()], [foreign.take_away()]) if twins else ([], [])
        base = shlex.quote(str(work.artifacts["base"] / "base.tar"))
        options = [
            "--variant=custom",
            "--skip=setup,update,cleanup,output/dev",
            '--setup-hook=mkdir -p "$1/dev/pts" "$1/dev/shm"',
            f"--setup-hook=tar-in {base} /",
            *(f"--setup-hook={hook}" for hook in before),
            f"--customize-hook=upload {shlex.quote(str(self.deb))} /zerotier.deb",
            '--customize-hook=chroot "$1" dpkg --install /zerotier.deb',
            '--customize-hook=rm "$1/zerotier.deb"',
            *(f"--customize-hook={hook}" for hook in after),
        ]
        target = work.out / "rootfs.tar"
        debian.mmdebstrap(
            options,
            suite="",
            target=target,
            mirror="",
            epoch=self.epoch,
            line=work.line,
            architecture=self.architecture,
            tools=work.artifacts["tools"] / "tree",
        )
