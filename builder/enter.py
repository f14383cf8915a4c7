"""A shell in an image's root file system: a copy of it in a user namespace of its own, gone afterwards."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from builder import foreign
from builder.errors import BuildError
from builder.run import interactive, run

# $1 is the copy, $2 and $3 its tars, $4 the twins or nothing; the rest is the command.
SCRIPT = r"""
set -eu
root=$1 packages=$2 laid=$3 twins=$4
shift 4
for tar in "$packages" "$laid"; do tar -x -f "$tar" -C "$root" --exclude='./dev/*'; done
[ -z "$twins" ] || cp -a "$twins" "$root/.native"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
path=/usr/sbin:/usr/bin:/sbin:/bin
exec chroot "$root" /usr/bin/env -i PATH=$path HOME=/root LANG=C.UTF-8 TERM="$TERM" "$@"
"""


def enter(tars: tuple[Path, Path], twins: Path | None, architecture: str, command: Sequence[str]) -> int:
    """Run a command, or a shell, in a copy of the tars' tree; the command's exit status.

    Raises:
        BuildError: programs of that architecture cannot be run here.
    """
    prefix = _prefix(architecture, twins)
    with tempfile.TemporaryDirectory(prefix="ztgate-shell-", ignore_cleanup_errors=True) as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        brought = twins / "native" if twins else ""
        words = ["sh", "-c", SCRIPT, "sh", root, *tars, brought, *(command or ["bash", "-l"])]
        try:
            return interactive([*prefix, *words])
        finally:
            run([*_namespace(), "rm", "-rf", root])  # other users' files, as the host sees them


def _prefix(architecture: str, twins: Path | None) -> list[str]:
    if not foreign.is_foreign(architecture):
        return _namespace()
    if twins is None:
        why = foreign.why_not_own(architecture) or "the stage `twins` is not in the cache"
        raise BuildError(f"no shell in an {architecture} image here: {why}", "build it on Linux 6.7 or later")
    return foreign.inside(architecture)


def _namespace() -> list[str]:
    return [sys.executable, "-I", str(Path(__file__).with_name("userns.py")), "--"]
