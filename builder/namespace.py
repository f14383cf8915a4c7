"""Running mmdebstrap and apt in a user namespace, most often the tools tree's: its /usr is the tree's then.

Which user a package's script makes first, and what dpkg leaves out, depends on the versions of mmdebstrap and
apt: Debian 12's and Debian 13's do not make the same root file system of the same packages.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from builder.run import CommandError, run


def inside(usr: Path | None = None, handler: str = "", memory: Path | None = None) -> list[str]:
    """What to put before a command: `usr` in the place of /usr, a handler of binfmt_misc, a tmpfs."""
    argv = [sys.executable, "-I", str(Path(__file__).with_name("userns.py"))]
    argv += ["--usr", str(usr)] if usr else []
    argv += ["--handler", handler] if handler else []
    argv += ["--memory", str(memory)] if memory else []
    return [*argv, "--"]


@functools.cache
def why_not() -> str:
    """Why this machine's own mmdebstrap has to do; empty if the tools tree can be entered."""
    try:
        run([*inside(), "true"])
    except CommandError as e:
        return (e.output.strip().splitlines() or ["no reason given"])[-1]
    return ""
