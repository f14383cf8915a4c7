"""What an image definition is: every key of images/*.yaml with its type, default and meaning."""

# ruff: noqa: RUF009 (setting() makes a dataclass field, as field() does)
from __future__ import annotations

import dataclasses
import datetime
import re
from dataclasses import dataclass, field
from typing import Any

MIB = 1 << 20
BIOS = ("grub", "amd64")  # boot and architecture of what starts without UEFI, too
FORMATS = ("raw", "raw.zst", "raw.xz", "raw.gz", "qcow2", "vmdk", "vhd", "vhdx")  # formats.py makes them


@dataclass(frozen=True)
class Form:
    """What a text has to look like, and how to say that it does not."""

    pattern: str
    problem: str

    def fits(self, text: str) -> bool:
        """Whether it is all of the text."""
        return re.fullmatch(self.pattern, text) is not None


SIZE = Form("auto|[1-9][0-9]*[MG]", "is not like 64M or 2G or auto")
# Debian Policy 5.6.1, and a suite
PACKAGE = Form("[a-z0-9][a-z0-9+.-]+(/[a-z]+-backports)?", "is no name of a Debian package")
HOSTNAME = Form("[a-z0-9][a-z0-9-]*", "is not lower-case letters, digits and hyphens")


def setting(help: str, default: Any = None, choices: tuple[str, ...] = (), form: Form | None = None) -> Any:
    """A key of a definition: what it means, its default, and which values it may have.

    load.py checks these, and schema.py tells editors of them. A list's choices and form are its items'.
    """
    extra: dict[str, Any] = {}
    if isinstance(default, tuple | str | int | datetime.date):
        extra["default"] = default
    return field(metadata={"help": help, "choices": choices, "form": form}, **extra)


def keys(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """Those fields of a definition, or of a part of one, that a file may have."""
    return tuple(one for one in dataclasses.fields(kind) if "help" in one.metadata)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One partition, in the order in which they lie on the disk."""

    name: str = setting("its name in the partition table")
    type: str = setting("what it is for", choices=("bios-boot", "firmware", "root"))
    size: str = setting("64M, 2G, or auto: what is in it and a quarter more, for a root", form=SIZE)
    label: str = setting("label of its file system", "")
    mount: str = setting("where it is mounted", "")

    @property
    def line(self) -> str:
        """All of it in a few words."""
        return " ".join(word for word in (self.name, self.type, self.size, self.label, self.mount) if word)


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image that can be built."""

    name: str = setting("the file's name without .yaml")
    description: str = setting("one line for `./build.py list`", "")
    architecture: str = setting("Debian's name of it", choices=("amd64", "arm64"))
    suite: str = setting("Debian's release")
    date: datetime.date = setting("no file in the image is newer; $SOURCE_DATE_EPOCH overrides it")
    hostname: str = setting("its name until cloud-init or gateway.yaml gives another", form=HOSTNAME)
    boot: str = setting("how it boots", choices=("grub", "raspberry-pi"))
    components: tuple[str, ...] = setting("parts of Debian that packages may come from", ("main",))
    packages: tuple[str, ...] = setting(
        "Debian packages, without their recommendations; NAME/SUITE for backports", form=PACKAGE
    )
    overlays: tuple[str, ...] = setting("trees of overlays/ laid over the root, later ones win")
    remove: tuple[str, ...] = setting("paths (globs) that packages bring and no gateway needs", ())
    partitions: tuple[Partition, ...] = setting("the disk, first partition first")
    formats: tuple[str, ...] = setting("what `export` makes unless it is told", ("raw",), choices=FORMATS)

    # Not a key, load.py fills it in: those packages that come from what the definition extends.
    inherited: tuple[str, ...] = ()

    @property
    def added(self) -> tuple[str, ...]:
        """The packages that the definition itself asks for."""
        return tuple(package for package in self.packages if package not in self.inherited)

    @property
    def table(self) -> str:
        """Its partition table: the boot ROM of a Raspberry Pi 3 knows no GPT."""
        return "dos" if self.boot == "raspberry-pi" else "gpt"

    def partition(self, type_: str) -> Partition:
        """The partition of a type; load.py has checked that there is exactly one."""
        return next(p for p in self.partitions if p.type == type_)


def wanted(boot: str, architecture: str) -> dict[str, int]:
    """How many partitions of each type a disk has: GRUB's second half has no other place without UEFI."""
    return {"bios-boot": int((boot, architecture) == BIOS), "firmware": 1, "root": 1}


def size_in_bytes(text: str) -> int | None:
    """`64M` as bytes; None for auto."""
    if text == "auto":
        return None
    return int(text[:-1]) * {"M": MIB, "G": MIB << 10}[text[-1]]
