"""Whether an image fits a place: facts read from the image, and a verdict on each of the place's needs."""

from __future__ import annotations

import fnmatch
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from builder import initrd
from builder.contents import Disk
from builder.debugfs import File
from builder.dpkg import STATUS, installed
from builder.image import MIB
from builder.targets import Need, Target

BOOT_CODE = 440  # bytes of the first sector that are code
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
LOADERS = {"amd64": "EFI/BOOT/BOOTX64.EFI", "arm64": "EFI/BOOT/BOOTAA64.EFI"}
UNITS = {"M": MIB, "G": MIB << 10}
NATIVE = "var/lib/dpkg/arch-native"
CLOUD = ("etc/cloud/cloud.cfg", "etc/cloud/cloud.cfg.d/*.cfg")  # as cloud-init reads them: later ones win
BUILTIN = "usr/lib/modules/*/modules.builtin"
READ = (STATUS, NATIVE, *CLOUD, "boot/initrd.img-*", BUILTIN, "boot/grub/grub.cfg")


@dataclass(frozen=True)
class Facts:
    """What an image is; sizes in bytes, and 0 for a file that there is not yet."""

    architecture: str
    firmware: tuple[str, ...]
    table: str
    root: str
    root_by_uuid: bool
    drivers: frozenset[str]
    datasources: tuple[str, ...]
    packages: frozenset[str]
    fat: frozenset[str]
    raw_size: int
    file_size: int = 0


@dataclass(frozen=True)
class Verdict:
    """A need, and what is wrong about it; "" for nothing."""

    need: Need
    problem: str


def look(disk: Disk) -> Facts:
    """Read all that the needs ask for."""
    files = {
        p: f for p, f in disk.files().items() if any(fnmatch.fnmatchcase(p, pattern) for pattern in READ)
    }
    texts = dict(disk.read({p: f for p, f in files.items() if not p.startswith("boot/initrd")}))
    architecture = texts.get(NATIVE, b"").decode().strip()
    fat = disk.on_fat()
    return Facts(
        architecture=architecture,
        firmware=tuple(_firmware(disk, fat, architecture)),
        table=disk.table,
        root="ext4",  # contents.py opens no other
        root_by_uuid=re.search(rb"--fs-uuid|root=(PART)?UUID=", texts.get("boot/grub/grub.cfg", b""))
        is not None,
        drivers=frozenset(_drivers(disk, files, texts)),
        datasources=_datasources(texts),
        packages=frozenset(installed(texts.get(STATUS, b"").decode())),
        fat=frozenset(fat),
        raw_size=disk.path.stat().st_size,
    )


def _firmware(disk: Disk, fat: set[str], architecture: str) -> list[str]:
    found = []
    boots = [p for p in disk.parts if p.type == BIOS_BOOT]
    if any(disk.at(0, BOOT_CODE)) and boots and any(disk.at(boots[0].offset, 512)):
        found.append("bios")
    if LOADERS.get(architecture) in fat:
        found.append("uefi")
    return found


def _drivers(disk: Disk, files: dict[str, File], texts: dict[str, bytes]) -> set[str]:
    """Of the initrd, and of the kernel itself."""
    builtin = b"".join(text for path, text in texts.items() if path.endswith("modules.builtin"))
    found = {Path(line).stem.replace("-", "_") for line in builtin.decode().split()}
    with tempfile.TemporaryDirectory() as directory:
        unpacked = Path(directory, "initrd")
        with unpacked.open("wb") as out:
            for _, data in disk.read({p: f for p, f in files.items() if p.startswith("boot/initrd")}):
                initrd.unpack(data, disk.tools, out, Path(directory, "packed"))
        return found | initrd.modules(unpacked.read_bytes())


def _datasources(texts: dict[str, bytes]) -> tuple[str, ...]:
    """cloud-init's list: the last file that has one counts."""
    found: tuple[str, ...] = ()
    for pattern in CLOUD:
        for path in sorted(fnmatch.filter(texts, pattern)):
            found = tuple((yaml.safe_load(texts[path]) or {}).get("datasource_list", found))
    return found


def judge(target: Target, facts: Facts) -> list[Verdict]:
    """Each need of a place and what is wrong about it."""
    return [Verdict(need, JUDGES[need.need](facts, need.of)) for need in target.needs]


def _one_of(wanted: Sequence[str], found: str) -> str:
    return "" if found in wanted else f"it is {found or 'unknown'}"


def _all_of(wanted: Sequence[str], found: Sequence[str] | frozenset[str]) -> str:
    lacking = [name for name in wanted if name not in found]
    return f"it lacks {', '.join(lacking)}" if lacking else ""


def _any_of(wanted: Sequence[str], found: Sequence[str]) -> str:
    return "" if set(wanted) & set(found) else f"it has {', '.join(found) or 'none'}"


def _in_order(wanted: Sequence[str], found: Sequence[str]) -> str:
    places = [found.index(name) for name in wanted if name in found]
    return "" if places == sorted(places) else f"it has {', '.join(found)}"


def below(limit: str, size: int) -> str:
    """What is wrong about a size, if it is to be below a limit such as 5G."""
    return "" if size < int(limit[:-1]) * UNITS[limit[-1]] else f"it has {size // MIB} MiB"


JUDGES: dict[str, Callable[[Facts, Sequence[str]], str]] = {
    "architecture": lambda facts, of: _one_of(of, facts.architecture),
    "firmware": lambda facts, of: _all_of(of, facts.firmware),
    "bios-on-amd64": lambda facts, _: _all_of(["bios"], facts.firmware)
    if facts.architecture == "amd64"
    else "",
    "table": lambda facts, of: _one_of(of, facts.table),
    "root": lambda facts, of: _one_of(of, facts.root),
    "root-by-uuid": lambda facts, _: "" if facts.root_by_uuid else "it finds its root in another way",
    "drivers": lambda facts, of: _all_of(of, facts.drivers),
    "datasource": lambda facts, of: _any_of(of, facts.datasources),
    "order": lambda facts, of: _in_order(of, facts.datasources),
    "packages": lambda facts, of: _all_of(of, facts.packages),
    "files": lambda facts, of: _all_of(of, frozenset(path.split("/")[-1] for path in facts.fat)),
    "raw-below": lambda facts, of: below(of[0], facts.raw_size),
    "file-below": lambda facts, of: below(of[0], facts.file_size),
}
