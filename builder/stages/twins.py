"""This machine's own programs, to stand in for another architecture's while its packages are configured."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from builder import foreign
from builder.inputs import Inputs, source_inputs
from builder.lock import Wanted
from builder.pool import Debs
from builder.run import run
from builder.stages import Work

SUITE = "trixie"  # as the images: a twin must do what the program does in whose place it runs
PACKAGES = (
    # What maintainer scripts call by the thousand.
    *("bash", "coreutils", "cpio", "dash", "debianutils", "diffutils", "dpkg", "findutils", "grep", "gzip"),
    *("kmod", "mawk", "openssl", "perl-base", "sed", "tar", "util-linux", "xz-utils", "zstd"),
    *("python3.13-minimal", "libpython3.13-stdlib"),
    # What makes it possible.
    *("busybox-static", "qemu-user"),
)
WANTED = Wanted(SUITE, (foreign.NATIVE,), PACKAGES)
# No twin: these say what machine they are on, or change who, where or what somebody is.
NEVER = {
    "arch",
    "busybox",
    "chroot",
    "dpkg",
    "i386",
    "linux32",
    "linux64",
    "login",
    "mount",
    "newgrp",
    "nsenter",
}
NEVER |= {
    "pivot_root",
    "runuser",
    "setarch",
    "su",
    "sulogin",
    "switch_root",
    "umount",
    "uname",
    "unshare",
    "x86_64",
}
NEVER_LIKE = ("dpkg-", "qemu-", "update-")
AFTER_ALL = {"dpkg-deb", "dpkg-split"}
NAMES = {
    "awk": "mawk",
    "python3": "python3.13",
    "sh": "dash",
}  # alternatives and links that nothing has made here


@dataclass(frozen=True)
class TwinsStage:
    """native/: bin, lib, a loader, QEMU and the handler; it lies in a root as /.native while that is made."""

    architecture: str
    debs: Debs
    name: str = "twins"
    needs: tuple[str, ...] = ()

    def inputs(self) -> Inputs:
        """The packages and the handler."""
        return {
            **WANTED.inputs(),
            "Debian's packages": self.debs.inputs(),
            "architecture": self.architecture,
            **source_inputs(["stages/twins.py", "foreign.py"]),
        }

    def verify(self) -> None:
        """Only the packages are needed; whoever uses them looks at the kernel."""
        self.debs.provide()

    def run(self, work: Work) -> None:
        """Unpack, then pick."""
        tree = work.out / "tree"
        tree.mkdir()
        for deb in self.debs.packed():
            work.line(f"unpacking {deb.name}")
            run(["dpkg-deb", "--extract", deb, tree])
        run(["chmod", "-R", "u+rwX", tree])
        _pick(tree / "usr", work.out / "native", foreign.EMULATORS[self.architecture])
        shutil.rmtree(tree)


def _pick(usr: Path, native: Path, emulator: str) -> None:
    """Of qemu-user's 600 MB and all the rest, what is used."""
    libraries = usr / "lib/x86_64-linux-gnu"
    for directory in ("bin", "lib"):
        (native / directory).mkdir(parents=True)
    for path in libraries.glob("lib*.so*"):
        shutil.copy(path, native / "lib")
    shutil.copytree(libraries / "perl-base", native / "perl-base")
    shutil.copy(usr / "lib64/ld-linux-x86-64.so.2", native / "ld.so")
    shutil.copy(usr / "bin/busybox", native / "busybox")
    shutil.copy(usr / "bin" / emulator, native / "emulator")
    for path in sorted([*(usr / "bin").iterdir(), *(usr / "sbin").iterdir()]):
        if path.is_file() and _has_twin(path.name) and path.read_bytes()[:4] == b"\x7fELF":
            shutil.copy(path, native / "bin" / path.name)
    for name, real in NAMES.items():
        shutil.copy(native / "bin" / real, native / "bin" / name)
    handler = native / "handler"
    handler.write_text(foreign.HANDLER, encoding="ascii")
    handler.chmod(0o755)


def _has_twin(name: str) -> bool:
    return name not in NEVER and (name in AFTER_ALL or not name.startswith(NEVER_LIKE))
