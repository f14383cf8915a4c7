"""firstboot/ with its byte-code, which the image's own version of Python makes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.inputs import Inputs, files_below, source_inputs, tree_inputs
from builder.stages import AGENT, Work
from builder.tools import Tools


@dataclass(frozen=True)
class AgentStage:
    """tree/, as it will lie in /usr/lib/ztgate."""

    firstboot: Path
    epoch: int
    name: str = "agent"
    needs: tuple[str, ...] = ("tools",)

    def inputs(self) -> Inputs:
        """The sources, and their date: byte-code holds it."""
        return {
            **tree_inputs(self.firstboot, "firstboot"),
            "date": str(self.epoch),
            **source_inputs(["stages/agent.py", "tools.py"]),
        }

    def verify(self) -> None:
        """Nothing of the host is needed: the tools are our own."""

    def run(self, work: Work) -> None:
        """Copy and compile."""
        compiled(self.firstboot, work.out / "tree", Tools(work.artifacts["tools"] / "tree", self.epoch))


def compiled(source: Path, tree: Path, tools: Tools) -> None:
    """A copy of a Python tree, with byte-code."""
    tree.mkdir()
    for path in files_below(source):
        copy = tree / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy, follow_symlinks=False)
        os.utime(copy, (tools.epoch, tools.epoch))
    # By size and time, not by hash: whoever mends a file on the appliance wants it to be read.
    tools.run(
        "usr/bin/python3.13",
        *("-m", "compileall", "-q", "-j1", "--invalidation-mode", "timestamp"),
        *("-s", str(tree), "-p", f"/{AGENT}", str(tree)),
    )
