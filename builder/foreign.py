"""Configuring packages of another architecture: emulated, but for what scripts call by the thousand.

QEMU's user mode runs arm64 programs some thirty times slower than the machine does its own. Nearly all that
maintainer scripts run is shells, coreutils, perl and the like, whose output does not depend on the
architecture; so a handler of binfmt_misc takes this machine's own build of the same version for these (stage
`twins`), and QEMU for the rest.

That handler needs a binfmt_misc of our own. Where the kernel does not give one, the machine's registration of
QEMU has to do (see binfmt.py): it knows no twins, and takes some six times as long for the same files.
"""

from __future__ import annotations

import functools
import os
import shlex
from pathlib import Path

from builder import namespace
from builder.run import CommandError, run

NATIVE = "amd64"
EMULATORS = {"arm64": "qemu-aarch64"}  # programs of Debian's qemu-user
# The first 20 bytes of a program of that architecture, and which of their bits count: a 64-bit little-endian
# ELF file, executable or position-independent, for machine 183 (EM_AARCH64).
MAGIC = {
    "arm64": (
        r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
        r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    )
}
AT = "/.native"  # where the twins lie in a root while it is made
PERL = "/usr/lib/x86_64-linux-gnu"  # where this machine's perl looks for its own modules
# QEMU's default CPU would do pointer authentication in software; cortex-a72 has none, and is up to 15 times
# faster.
CPU = "cortex-a72"
HOST = "ZTGATE_HOST_BINFMT"  # set, to try the slow way on a kernel that has the other
HANDLER = f"""\
#!{AT}/busybox sh
# Called by the kernel with a program's path, its argv[0], and its arguments.
program=$1 name=${{1##*/}} zero=$2
shift 2
case ${{program%/*}} in /bin | /sbin | /usr/bin | /usr/sbin) ;; *) name=- ;; esac
# Python knows its architecture; its byte-code does not.
case $name in python3*)
	case "$1 $2 $3 $4" in *py_compile* | */usr/bin/py3compile*) ;; *) name=- ;; esac
	;;
esac
if [ -x "{AT}/bin/$name" ]; then
	exec {AT}/ld.so --library-path {AT}/lib --argv0 "$zero" "{AT}/bin/$name" "$@"
fi
exec {AT}/emulator -cpu {CPU} -0 "$zero" "$program" "$@"
"""


def is_foreign(architecture: str) -> bool:
    """Whether this machine cannot run an image's programs itself."""
    return architecture != NATIVE


@functools.cache
def why_not_own(architecture: str) -> str:
    """Why the machine's registration has to do; empty if there can be one of our own, and twins with it."""
    if os.environ.get(HOST) is not None:
        return f"{HOST} is set"
    try:
        run([*inside(architecture), "true"])
    except CommandError as e:
        return (e.output.strip().splitlines() or ["no reason given"])[-1]
    return ""


def inside(architecture: str, usr: Path | None = None, memory: Path | None = None) -> list[str]:
    """What to put before a command so that it can run that architecture's programs in a root with twins."""
    magic, mask = MAGIC[architecture]
    handler = f":ztgate-{architecture}:M::{magic}:{mask}:{AT}/handler:P"
    return namespace.inside(usr, handler, memory)


def bring(twins: Path) -> str:
    """mmdebstrap hook: the twins go into the root."""
    return f'cp -a {shlex.quote(str(twins / "native"))} "$1{AT}"'


def link() -> str:
    """mmdebstrap hook, once the root has a /usr: perl in taint mode looks nowhere else."""
    return f'mkdir -p "$1{PERL}" && ln -s {AT}/perl-base "$1{PERL}/perl-base"'


def take_away() -> str:
    """mmdebstrap hook: nothing of it stays."""
    return f'rm -r "$1{AT}" "$1{PERL}"'
