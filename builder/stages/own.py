"""The packages of an image's own definition, and ZeroTier's, into the base; no service is started."""

from __future__ import annotations

from dataclasses import dataclass

from builder import debian, layer
from builder.inputs import Inputs, source_inputs
from builder.layer import ROOT, SOURCES, Layer
from builder.lock import Pin, Wanted
from builder.pool import Debs
from builder.stages import Work


@dataclass(frozen=True)
class OwnStage:
    """A second layer: a package that is added here does not have Debian bootstrapped again."""

    wanted: Wanted  # all of the image's
    debs: Debs  # what the base has not
    include: tuple[str, ...]  # of what is wanted
    zerotier: Pin
    epoch: int
    mirror: str = ""  # of the image's own updates
    name: str = "own"

    @property
    def layer(self) -> Layer:
        """How it is made."""
        debs = Debs(self.debs.pool, (*self.debs.pins, self.zerotier))
        return Layer(self.wanted, debs, (*self.include, self.zerotier.name), self.epoch, self.mirror)

    @property
    def needs(self) -> tuple[str, ...]:
        """The base, and what that needs."""
        return (*self.layer.needs, "base")

    def inputs(self) -> Inputs:
        """What is wanted, and the packages."""
        return {
            **self.wanted.inputs(),
            "packages": tuple(sorted(self.include)),
            "Debian's packages": self.debs.inputs(),
            "zerotier package": self.zerotier.sha256,
            "made with": debian.maker(),
            **source_inputs(["stages/own.py", *SOURCES]),
        }

    def verify(self) -> None:
        """What the layer needs."""
        self.layer.verify()

    def run(self, work: Work) -> None:
        """Unpack the base, install, pack again."""
        self.layer.make(work, [layer.below(work.artifacts["base"] / ROOT)])
