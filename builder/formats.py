"""What an image can be made into: each format, its file name, and how it is made, pinned and read back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuildError
from builder.files import copy_sparse
from builder.run import streamed
from builder.tools import Tools

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://ztgate.invalid/export")
VHD_EPOCH = 946684800  # its seconds are counted from 2000
PIECE = 1 << 20


@dataclass(frozen=True)
class Source:
    """A raw image, and what its converted files take their identifiers from."""

    path: Path
    sha256: str
    epoch: int

    def identifier(self, role: str) -> uuid.UUID:
        """Where a format wants a random number: the same for the same image."""
        return uuid.uuid5(NAMESPACE, f"{self.sha256} {role}")


@dataclass(frozen=True)
class Format:
    """A format: its suffix, what it is good for, how a file of it is made, and compared with the image."""

    suffix: str
    help: str
    make: Callable[[Tools, Source, Path], None]
    check: Callable[[Tools, Source, Path], None]


def _raw(_: Tools, source: Source, target: Path) -> None:
    copy_sparse(source.path, target)


def _is_same(_: Tools, source: Source, target: Path) -> None:
    with target.open("rb") as file:
        _compare(source, target, hashlib.file_digest(file, "sha256").hexdigest())


def _packer(program: str, *options: str) -> Callable[[Tools, Source, Path], None]:
    def make(tools: Tools, source: Source, target: Path) -> None:
        with (
            target.open("wb") as out,
            source.path.open("rb") as disk,
            streamed(tools.argv(program, options), env=tools.environment(), stdin=disk.fileno()) as packed,
        ):
            shutil.copyfileobj(packed, out, PIECE)

    return make


def _unpacker(program: str) -> Callable[[Tools, Source, Path], None]:
    def check(tools: Tools, source: Source, target: Path) -> None:
        whole = hashlib.sha256()
        with (
            target.open("rb") as packed,
            streamed(tools.argv(program, ("-d", "-c")), stdin=packed.fileno()) as unpacked,
        ):
            while piece := unpacked.read(PIECE):
                whole.update(piece)
        _compare(source, target, whole.hexdigest())

    return check


def _compare(source: Source, target: Path, sha256: str) -> None:
    if sha256 != source.sha256:
        raise BuildError(f"{target.name}: what is in it is not {source.path.name}", "is the disk all right?")


def _converter(
    kind: str, options: str, pin: Callable[[Source, Path], None] | None = None
) -> Callable[[Tools, Source, Path], None]:
    def make(tools: Tools, source: Source, target: Path) -> None:
        packed = ("-c",) if kind == "qcow2" else ()
        tools.run(
            "usr/bin/qemu-img",
            "convert",
            "-f",
            "raw",
            "-O",
            kind,
            *packed,
            "-o",
            options,
            source.path,
            target,
        )
        if pin:
            pin(source, target)

    return make


def _reader(kind: str, *, consistent: bool) -> Callable[[Tools, Source, Path], None]:
    def check(tools: Tools, source: Source, target: Path) -> None:
        if consistent:
            tools.run("usr/bin/qemu-img", "check", "-q", "-f", kind, target)
        tools.run("usr/bin/qemu-img", "compare", "-q", "-f", "raw", "-F", kind, source.path, target)
        said = json.loads(tools.run("usr/bin/qemu-img", "info", "--output=json", "-f", kind, target))
        if said["virtual-size"] != source.path.stat().st_size:  # compare lets zeros at the end pass
            raise BuildError(f"{target.name}: its disk has another size than {source.path.name}")

    return check


def pin_vmdk(source: Source, target: Path) -> None:
    """The content id of a VMDK is a random number of up to eight digits; 0 and 0xffffffff mean more.

    It is in the embedded descriptor ("Virtual Disk Format 5.0", VMware 2011): text, and zeros behind it.
    """
    with target.open("r+b") as file:
        at, size = (512 * sectors for sectors in struct.unpack_from("<QQ", file.read(512), 28))
        file.seek(at)
        text = file.read(size).rstrip(b"\0")
        cid = f"\nCID={source.identifier('vmdk').hex[:7]}1\n".encode()
        text, count = re.subn(rb"\nCID=[0-9a-f]{1,8}\n", cid, text)
        if count != 1 or len(text) > size:
            raise BuildError(f"{target.name}: a VMDK with another descriptor", "tell us about it")
        file.seek(at)
        file.write(text.ljust(size, b"\0"))


def pin_vhd(source: Source, target: Path) -> None:
    """Time and UUID in a VHD's footer ("Virtual Hard Disk Image Format Specification", 2006)."""
    with target.open("r+b") as file:
        file.seek(-512, os.SEEK_END)
        footer = bytearray(file.read(512))
        struct.pack_into(">I", footer, 24, max(source.epoch - VHD_EPOCH, 0))
        footer[68:84] = source.identifier("vhd").bytes
        footer[64:68] = bytes(4)
        struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
        file.seek(-512, os.SEEK_END)
        file.write(footer)


VHDX_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")  # [MS-VHDX] 2.2.3.2
VHDX_PAGE83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")  # [MS-VHDX] 2.6.2
VHDX_HEADERS = (64 << 10, 128 << 10)
VHDX_REGIONS = 192 << 10


def pin_vhdx(source: Source, target: Path) -> None:
    """A VHDX has random numbers in both headers and its metadata, and a log of how it was written.

    The log is empty as long as the headers name none, so what it holds may go ([MS-VHDX] 2.2.2, 2.3).
    """
    with target.open("r+b") as file:

        def at(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        def put(offset: int, data: bytes) -> None:
            file.seek(offset)
            file.write(data)

        for number, offset in enumerate(
            VHDX_HEADERS, 1
        ):  # the one with the higher number counts: they say the same
            header = bytearray(at(offset, 4096))
            if any(header[48:64]):
                raise BuildError(f"{target.name}: a VHDX whose log is in use", "tell us about it")
            size, log = struct.unpack_from("<IQ", header, 68)
            put(log, bytes(size))
            struct.pack_into("<Q", header, 8, number)
            header[16:32] = source.identifier("vhdx file").bytes_le
            header[32:48] = source.identifier("vhdx data").bytes_le
            header[4:8] = bytes(4)
            struct.pack_into("<I", header, 4, crc32c(header))
            put(offset, bytes(header))
        metadata = _vhdx_entry(at(VHDX_REGIONS, 65536), 16, 32, VHDX_METADATA, "<Q")
        item = _vhdx_entry(at(metadata, 65536), 32, 32, VHDX_PAGE83, "<I")
        put(metadata + item, source.identifier("vhdx disk").bytes_le)


def _vhdx_entry(table: bytes, first: int, step: int, wanted: uuid.UUID, kind: str) -> int:
    """The offset that one of its tables has for an identifier."""
    for at in range(first, len(table) - step, step):
        if table[at : at + 16] == wanted.bytes_le:
            return int(struct.unpack_from(kind, table, at + 16)[0])
    raise BuildError("a VHDX without metadata", "tell us about it")


def crc32c(data: bytes | bytearray) -> int:
    """Castagnoli's CRC, for some kilobytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# Packers with more than one thread write the same bytes whatever their number is, and others with just one.
THREADS = str(max(2, os.cpu_count() or 2))
FORMATS = {
    "raw": Format(".img", "as it is on a disk", _raw, _is_same),
    "raw.zst": Format(
        ".img.zst",
        "to keep and to hand on",
        _packer("usr/bin/zstd", "-19", "-q", "-c", f"-T{THREADS}"),
        _unpacker("usr/bin/zstd"),
    ),
    "raw.xz": Format(
        ".img.xz",
        "to hand on to programs that know no zstd",
        _packer("usr/bin/xz", "-6", "-c", f"-T{THREADS}"),
        _unpacker("usr/bin/xz"),
    ),
    "raw.gz": Format(
        ".img.gz",
        "Linode takes no other",
        _packer("usr/bin/gzip", "-9", "-n", "-c"),
        _unpacker("usr/bin/gzip"),
    ),
    "qcow2": Format(
        ".qcow2",
        "QEMU, libvirt, Proxmox, Oracle, DigitalOcean",
        _converter("qcow2", "compat=1.1"),
        _reader("qcow2", consistent=True),
    ),
    "vmdk": Format(
        ".vmdk",
        "VMware, and most clouds",
        _converter("vmdk", "subformat=streamOptimized", pin_vmdk),
        _reader("vmdk", consistent=True),
    ),
    "vhd": Format(
        ".vhd",
        "Hyper-V, Xen, Azure",
        _converter("vpc", "subformat=fixed,force_size=on", pin_vhd),
        _reader("vpc", consistent=False),  # qemu-img has no check for it
    ),
    "vhdx": Format(
        ".vhdx",
        "Hyper-V",
        _converter("vhdx", "subformat=dynamic", pin_vhdx),
        _reader("vhdx", consistent=True),
    ),
}
