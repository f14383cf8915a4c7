"""Debian with the packages that a definition inherits: the longest step, and seldom needed again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from builder import debian
from builder.inputs import Inputs, source_inputs, tree_inputs
from builder.layer import SOURCES, Layer
from builder.lock import Wanted
from builder.pool import Debs
from builder.stages import Work
from builder.tarfiles import tar_of_tree

# systemd's own package makes the users of its own files alone.
USERS = '--customize-hook=chroot "$1" systemd-sysusers ztgate.conf'


@dataclass(frozen=True)
class BaseStage:
    """A first layer; overlays/bootstrap lies there before the first package is configured."""

    wanted: Wanted
    debs: Debs  # what that comes to
    bootstrap: Path
    epoch: int
    mirror: str = ""  # of the image's own updates
    name: str = "base"

    @property
    def layer(self) -> Layer:
        """How it is made."""
        return Layer(self.wanted, self.debs, self.wanted.packages, self.epoch, self.mirror)

    @property
    def needs(self) -> tuple[str, ...]:
        """The tools, and twins where they are needed."""
        return self.layer.needs

    def inputs(self) -> Inputs:
        """What is wanted, the packages, the mirror, and the bootstrap tree."""
        return {
            **self.wanted.inputs(),
            "Debian's packages": self.debs.inputs(),
            "made with": debian.maker(),
            "date": str(self.epoch),
            "mirror": self.mirror or "Debian's own",
            **tree_inputs(self.bootstrap, "overlays/bootstrap"),
            **source_inputs(["stages/base.py", *SOURCES]),
        }

    def verify(self) -> None:
        """What the layer needs."""
        self.layer.verify()

    def run(self, work: Work) -> None:
        """Without a mirror, mmdebstrap writes Debian's own to the sources, updates and security included."""
        seed = work.out / "bootstrap.tar"
        tar_of_tree(self.bootstrap, seed, self.epoch)
        self.layer.make(work, [f"--setup-hook=tar-in {shlex.quote(str(seed))} /", USERS])
        seed.unlink()
