"""The disks of this machine and who uses them, as the kernel has it in /sys and /proc: no tool, no root."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuildError

# Nothing to put an image on, though they say that they can be taken out: optical drives, floppies, and the
# small parts of an eMMC that only its firmware reads.
NO_CARDS = re.compile(r"(sr|fd)\d+|mmcblk\d+(boot\d+|rpmb)")
LIST = "./build.py flash lists the disks that can be taken out"
HOW = {  # a disk or partition is used
    "root": "holds the root of the running system",
    "mounted": "is mounted on {}",
    "swap": "is used as swap space",
    "held": "is held by {}",
}
Uses = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class System:
    """Where the kernel speaks; tests have trees of their own."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")


@dataclass(frozen=True)
class Use:
    """Why a disk cannot be overwritten: which node of it, how it is used, and as what or by whom."""

    node: str
    how: str  # a key of HOW
    what: str  # a mount point, or the device that holds it

    def text(self) -> str:
        """For an error."""
        return f"{self.node} {HOW[self.how].format(self.what)}"


@dataclass(frozen=True)
class Part:
    """A partition that the kernel knows; its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Disk:
    """A whole disk; sizes in bytes."""

    path: str
    model: str  # "" if it has no name
    size: int  # 0: there is no card in the reader
    sector: int
    removable: bool
    bus: str  # usb, mmc, or "" for all others
    read_only: bool
    parts: tuple[Part, ...]
    uses: tuple[Use, ...]

    @property
    def portable(self) -> bool:
        """Whether one could take it along; many USB disks do not say that they are removable."""
        return self.removable or self.bus != ""


def human(size: int) -> str:
    """A size as it is printed on cards: decimal."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def find(typed: str, system: System | None = None) -> Disk:
    """The disk that a path names, symbolic links followed.

    Raises:
        BuildError: it is not there, is no block device, or is a partition; the error names the disk.
    """
    system = system or System()
    try:
        status = Path(typed).stat()
    except FileNotFoundError:
        raise BuildError(f"{typed}: there is no such device", LIST) from None
    if not stat.S_ISBLK(status.st_mode):
        raise BuildError(f"{typed}: this is no block device", LIST)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    node = (system.sys / "dev/block" / number).resolve()
    if (node / "partition").exists():
        disk = _path(node.parent)
        raise BuildError(f"{typed} is a partition of {disk}", f"name the whole disk: {disk}")
    return _disk(node, _uses(system))


def refuse_used(disk: Disk, typed: str) -> None:
    """BuildError if somebody uses a disk or a part of it; its hint frees the disk, where that can be."""
    if not disk.uses:
        return
    used = "; ".join(use.text().replace(f"{typed} ", "it ", 1) for use in disk.uses)
    of = {how: [use for use in disk.uses if use.how == how] for how in HOW}
    if of["root"]:
        hint = LIST
    elif of["held"]:
        hint = f"close what is built on it (LVM, encryption, RAID): lsblk {disk.path} shows it"
    elif of["mounted"]:
        hint = f"sudo umount {' '.join(shlex.quote(use.what) for use in of['mounted'])}"
    else:
        hint = f"sudo swapoff {' '.join(use.node for use in of['swap'])}"
    raise BuildError(f"{typed}: {used}", hint)


def disks(system: System | None = None) -> list[Disk]:
    """The disks that can be taken out, with a card in them."""
    system = system or System()
    uses = _uses(system)
    nodes = [node for node in sorted((system.sys / "block").iterdir()) if not NO_CARDS.fullmatch(node.name)]
    return [disk for disk in (_disk(node.resolve(), uses) for node in nodes) if disk.portable and disk.size]


def _disk(node: Path, uses: Uses) -> Disk:
    inside = sorted((p.parent for p in node.glob("*/partition")), key=lambda p: int(_text(p / "partition")))
    bus = [part[:3] for part in node.parts if re.fullmatch(r"usb\d+|mmc_host", part)]
    return Disk(
        path=_path(node),
        model=_model(node),
        size=_size(node),
        sector=int(_text(node / "queue/logical_block_size") or 512),
        removable=_text(node / "removable") == "1",
        bus=bus[0] if bus else "",
        read_only=_text(node / "ro") == "1",
        parts=tuple(Part(_path(part), _size(part)) for part in inside),
        uses=tuple(Use(_path(n), how, what) for n in (node, *inside) for how, what in _of_node(n, uses)),
    )


def _of_node(node: Path, uses: Uses) -> list[tuple[str, str]]:
    """How a disk or partition is used, also by way of what is built on it (LVM, encryption, RAID)."""
    found = [*uses.get(_text(node / "dev"), ()), *uses.get(node.name, ())]
    holders = node / "holders"
    for holder in sorted(holders.iterdir()) if holders.is_dir() else ():
        found += _of_node(holder.resolve(), uses) or [("held", _path(holder.resolve()))]
    return list(dict.fromkeys(found))


def _uses(system: System) -> Uses:
    """What is mounted and where swap space is, by the device's number and by its name.

    A mount of btrfs or in a container has a number that is no disk's: there the name helps.
    """
    uses: Uses = defaultdict(list)
    mounts = (system.proc / "self/mountinfo").read_text(errors="replace")  # an error: better than "none"
    for line in mounts.rstrip("\n").split("\n"):  # splitlines() splits at more, which a label may have
        about, _, source = line.partition(" - ")
        number, point = about.split(" ")[2], _unescaped(about.split(" ")[4])
        use = ("root" if point == "/" else "mounted", point)
        uses[number].append(use)
        uses[_name(source.split(" ")[1])].append(use)
    for line in _text(system.proc / "swaps").splitlines()[1:]:
        uses[_name(line.split()[0])].append(("swap", ""))
    return uses


def _name(path: str) -> str:
    """The kernel's name of a /dev path; "" for what is none, as `tmpfs`."""
    return Path(_unescaped(path)).resolve().name if path.startswith("/dev/") else ""


def _unescaped(text: str) -> str:
    r"""A path of mountinfo or swaps, where a space is \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _path(node: Path) -> str:
    mapped = _text(node / "dm/name")
    return f"/dev/mapper/{mapped}" if mapped else "/dev/" + node.name.replace("!", "/")


def _model(node: Path) -> str:
    """What the maker calls it, or the file behind a loop device."""
    model = _text(node / "device/model")
    vendor = _text(node / "device/vendor") if model else ""  # virtio's is a number, and it has no model
    name = model or _text(node / "device/name") or _text(node / "loop/backing_file")
    return " ".join(("" if vendor == "ATA" else vendor, name)).strip()


def _size(node: Path) -> int:
    return int(_text(node / "size") or 0) * 512  # in these units whatever the device's sectors are


def _text(file: Path) -> str:
    """A file of the kernel's; "" where this kind of device has none."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
