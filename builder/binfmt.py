"""The machine's own way to run another architecture's programs: tried, and explained where it does not serve.

Debian's packages of QEMU register it with the kernel, for everybody. In an image's root that serves only with
the flag F: the kernel has then opened QEMU beforehand, and does not look for it in there.
"""

from __future__ import annotations

import platform
import re
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import foreign
from builder.errors import BuildError
from builder.run import CommandError, run

DIRECTORY = Path("/proc/sys/fs/binfmt_misc")
FIRST = (6, 7)  # Linux from which on a user namespace gets a binfmt_misc of its own
# A whole program of that architecture, `exit(0)`: ELF header, one segment, three instructions.
PROGRAM = {
    "arm64": struct.pack("<16s2HI3QI6H", b"\x7fELF\2\1\1", 2, 183, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    + struct.pack("<2I6Q", 1, 5, 0, 0x400000, 0x400000, 132, 132, 0x10000)
    + struct.pack("<3I", 0xD2800000, 0xD2800BA8, 0xD4000001)  # mov x0, #0; mov x8, #93; svc #0
}
# On Debian 12, 13 and Ubuntu 24.04. It is systemd that tells the kernel, or binfmt-support where there is no
# systemd (not on Debian 13).
INSTALL = (
    "sudo apt-get install qemu-user-static binfmt-support "
    "(are they installed? sudo systemctl restart systemd-binfmt, "
    "or without systemd: sudo update-binfmts --enable qemu-aarch64)"
)


@dataclass(frozen=True)
class Entry:
    """One registration, as the kernel shows it."""

    path: Path
    enabled: bool
    interpreter: str
    flags: str
    offset: int
    magic: bytes
    mask: bytes

    def fits(self, program: bytes) -> bool:
        """Whether the kernel would take it for this program."""
        head = program[self.offset : self.offset + len(self.magic)]
        return bool(self.magic) and bytes(a & b for a, b in zip(head, self.mask, strict=False)) == self.magic


def parse(path: Path, text: str) -> Entry:
    """Read a registration's file; one that goes by a file's name fits no program."""
    lines = text.splitlines()
    words = {key.rstrip(":"): value for key, _, value in (line.partition(" ") for line in lines)}
    magic = bytes.fromhex(words.get("magic", ""))
    mask = bytes.fromhex(words.get("mask", "ff" * len(magic)))
    offset = int(words.get("offset", "0"))
    enabled = lines[:1] == ["enabled"]
    return Entry(path, enabled, words.get("interpreter", ""), words.get("flags", ""), offset, magic, mask)


def verify(architecture: str, inside: Sequence[str], why: str) -> None:
    """That the machine's registration runs such a program in a root of its own.

    `inside` comes before a command to make it root; `why` is what keeps us from a registration of our own.

    Raises:
        BuildError: it does not run.
    """
    try:
        _try(PROGRAM[architecture], inside)
    except CommandError as e:
        fault, remedy = explain(PROGRAM[architecture], DIRECTORY, e.output.partition("\n")[0])
        newer = _newer(platform.release())
        raise BuildError(
            f"{architecture} programs cannot be run on this machine: {why}; and {fault}",
            f"{remedy}; {newer}" if newer else remedy,
        ) from None


def _try(program: bytes, inside: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="ztgate-") as root:
        file = Path(root) / "program"
        file.write_bytes(program)
        for path in (Path(root), file):
            path.chmod(0o755)  # root in there may be a stranger here
        run([*inside, "chroot", root, "/program"], env={"QEMU_CPU": foreign.CPU})


def explain(program: bytes, directory: Path, said: str) -> tuple[str, str]:
    """Why the program does not run, and what to do: from what the kernel shows of its registrations."""
    texts = _read(directory)
    if not texts:
        return f"there is no binfmt_misc in {directory}", INSTALL
    status = texts.pop("status", "")
    entries = [parse(directory / name, text) for name, text in sorted(texts.items())]
    fitting = [entry for entry in entries if entry.fits(program)]
    if not fitting:
        return f"{directory} has no registration for them", INSTALL
    if status.strip() == "disabled":
        return f"{directory} is disabled", f"echo 1 | sudo tee {directory}/status"
    # The best one, if there are several.
    entry = max(fitting, key=lambda entry: (entry.enabled, "F" in entry.flags))
    return _fault(entry, said)


def _fault(entry: Entry, said: str) -> tuple[str, str]:
    if not entry.enabled:
        return f"{entry.path} is disabled", f"echo 1 | sudo tee {entry.path}"
    if not Path(entry.interpreter).exists():
        return f"{entry.path} names {entry.interpreter}, which is not there", INSTALL
    again = f"echo -1 | sudo tee {entry.path}; {INSTALL}"
    if "F" not in entry.flags:
        return (
            f"{entry.path} has the flags '{entry.flags}', and without F it does not serve in an image",
            again,
        )
    return f"{entry.interpreter} of {entry.path} does not serve: {said}", again


def _read(directory: Path) -> dict[str, str]:
    """Every registration's text by its name, and `status`; nothing if binfmt_misc is not there."""
    if not (directory / "status").exists():
        return {}
    return {path.name: path.read_text() for path in directory.iterdir() if path.name != "register"}


def _newer(release: str) -> str:
    """That a newer kernel would do, where this one is old."""
    if tuple(int(number) for number in re.findall(r"\d+", release)[:2]) >= FIRST:
        return ""
    return f"or boot Linux 6.7 or later (here: {release}; Debian 12 has one in bookworm-backports)"
