"""An image onto a card, stick or disk: read what is there, refuse what would hurt, write, read back.

After flashing every byte of the image equals the device's. Its first MiB is blanked first and written last,
when all else has been read back, so that a half-written card does not boot.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import mmap
import os
import shlex
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from builder import blockdev, blockmap, load, partitions
from builder.blockdev import LIST, Disk, human
from builder.blockmap import BlockMap
from builder.bytebar import ByteBar, Watch
from builder.errors import BuildError

PACKED = ("", ".xz", ".zst", ".gz")
# <linux/fs.h>: fill a range with zeros, by the device itself if it can; read the partition table again.
BLKZEROOUT, BLKRRPART = 0x127F, 0x125F


@dataclass(frozen=True)
class Order:
    """What was typed."""

    image: str
    device: str
    not_removable: bool = False  # other disks too
    agreed: bool = False  # do not ask


@dataclass(frozen=True)
class Result:
    """What `flash --json` prints."""

    device: str
    image: str
    bytes: int
    seconds: float
    sha256: str
    verified: bool


def flash(order: Order, image: Path) -> Result:
    """Everything from looking at the disk to reading back what was written.

    Raises:
        BuildError: something is refused, and nothing was written; or the device failed, and its hint says so.
        KeyboardInterrupt: with a text, if half an image was written.
    """
    disk = blockdev.find(order.device)
    refuse_disk(disk, order)
    with Target(disk.path, order.device) as target:
        with ByteBar() as bar:
            content = blockmap.survey(image, bar)
        refuse_image(content, disk, order)
        if not order.agreed:
            ask(disk, content)
        began = time.monotonic()
        with ByteBar() as bar:
            write(target, content, bar)
    seconds = round(time.monotonic() - began, 1)
    return Result(disk.path, str(image), content.size, seconds, content.sha256, verified=True)


def find_image(typed: str, out: Path, images: Path) -> Path:
    """A path, or the file that a name was built to; BuildError if there is none."""
    built = [out / f"{typed}.img{packed}" for packed in PACKED]
    for path in (*built, Path(typed)):
        if path.is_file():
            return path
    if Path(typed).is_block_device():
        raise BuildError(f"{typed} is a disk, and the image comes first", f"./build.py flash IMAGE {typed}")
    if "/" in typed or ".img" in typed:
        what = "it is a directory" if Path(typed).is_dir() else "there is no such file"
        raise BuildError(f"{typed}: {what}", "./build.py list shows what can be built")
    load.load(images, typed)  # says that there is none, and the nearest
    raise BuildError(f"{typed} is not built yet", f"./build.py build {typed}")


def listing(disks: Sequence[Disk]) -> str:
    """The disks that can be taken out, for a person."""
    if not disks:
        return "no removable disk is there; plug in a card or a stick"
    return "\n".join(f"{describe(disk)}{_uses(disk)}" for disk in disks)


def no_device(typed: str, disks: Sequence[Disk]) -> BuildError:
    """The error for an image without a disk."""
    hint = f"./build.py flash {shlex.quote(typed)} {disks[0].path if len(disks) == 1 else '/dev/sdX'}"
    return BuildError(f"flash {typed} to which disk?", hint if disks else f"plug one in, then {hint}")


def describe(disk: Disk) -> str:
    """One line."""
    about = [disk.path, disk.model or "(no name)", human(disk.size), disk.bus]
    return "  ".join(part for part in about if part)


def _uses(disk: Disk) -> str:
    return "".join(f"\n    {use.text()}" for use in disk.uses)


def refuse_disk(disk: Disk, order: Order) -> None:
    """BuildError if an image must not or cannot go to this disk, whatever the image is."""
    called = order.device if order.device == disk.path else f"{order.device} ({disk.path})"
    blockdev.refuse_used(disk, called)
    if not disk.size:
        raise BuildError(f"{called}: there is no card in it", LIST)
    if disk.read_only:
        raise BuildError(f"{called}: it is read-only", "some cards and adapters have a switch at their side")
    if not disk.portable and not order.not_removable:
        raise BuildError(
            f"{called} ({disk.model or 'no name'}, {human(disk.size)}) is no disk that can be taken out",
            f"{LIST}; if this one is meant, say --not-removable",
        )
    if disk.sector != partitions.SECTOR:
        raise BuildError(
            f"{called}: its sectors have {disk.sector} bytes, and the image's partition table counts in "
            f"{partitions.SECTOR}",
            "take another disk: from this one it would not boot",
        )


def refuse_image(image: BlockMap, disk: Disk, order: Order) -> None:
    """BuildError if it is no disk image, or one that does not fit."""
    hint = "an image begins with a partition table: take another file, or unpack this one first"
    try:
        parts = partitions.read(io.BytesIO(image.head))
    except partitions.NoTable as e:
        raise BuildError(f"{order.image}: no disk image: {e}", hint) from None
    if not parts:
        raise BuildError(f"{order.image}: no disk image: its partition table is empty", hint)
    end = max(part.offset + part.size for part in parts)
    if end > image.size:
        raise BuildError(
            f"{order.image}: cut short: its partitions end at {end} bytes, and it at {image.size}",
            blockmap.AGAIN,
        )
    if image.size > disk.size:
        raise BuildError(
            f"{order.device} is too small: it has {human(disk.size)} ({disk.size} bytes), and {order.image} "
            f"needs {human(image.size)} ({image.size} bytes)",
            "take a bigger one",
        )


def ask(disk: Disk, image: BlockMap) -> None:
    """Show what will be lost; BuildError unless a person at a terminal types yes."""
    if not sys.stdin.isatty():
        raise BuildError(
            f"{disk.path} is not overwritten without a yes, and there is no terminal to ask at",
            "--yes says it beforehand",
        )
    lines = [describe(disk), *(f"    {part.path}  {human(part.size)}" for part in disk.parts)]
    lines.append(f"All that is on it will be lost: {image.path} ({human(image.size)}) is written over it.")
    print("\n".join(lines), "Type yes to go on: ", sep="\n", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise BuildError("no yes, so nothing was written")


class Target:
    """A whole disk that nobody else can mount or open for themselves; BuildError if it is taken or fails.

    What is read and written goes past the kernel's cache (O_DIRECT): an error comes at its place, progress
    is real, and what is read back comes from the device.
    """

    def __init__(self, path: str, typed: str) -> None:
        self.path = path
        self._buffer = mmap.mmap(-1, blockmap.BLOCK)  # O_DIRECT wants memory that is aligned
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as e:
            no_permission = ("no permission to write to it", "put sudo before the command")
            reasons = {
                errno.EACCES: no_permission,
                errno.EPERM: no_permission,
                errno.EBUSY: ("another program uses it", f"lsblk {path} or sudo fuser -v {path} shows which"),
                errno.ENOMEDIUM: ("there is no card in it", LIST),
            }
            message, hint = reasons.get(e.errno or 0, (str(e.strerror), "plug it in again"))
            raise BuildError(f"{typed}: {message}", hint) from None

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def write(self, offset: int, data: bytes) -> None:
        """Write at most a block; what is missing to a whole sector is zeros."""
        size = _whole_sectors(len(data))
        self._buffer[:size] = data.ljust(size, b"\0")
        self._transfer(os.pwritev, "writing at", offset, size)

    def zero(self, offset: int, size: int) -> None:
        """Fill with zeros: by the device itself where it can, else the kernel writes them."""
        try:
            fcntl.ioctl(self._fd, BLKZEROOUT, struct.pack("QQ", offset, _whole_sectors(size)))
        except OSError as e:
            raise self._error(e, "writing at", offset) from None

    def flush(self, offset: int) -> None:
        """Have the device's own cache written; `offset` is how far we are."""
        try:
            os.fsync(self._fd)
        except OSError as e:
            raise self._error(e, "writing up to", offset) from None

    def read(self, offset: int, size: int) -> bytes:
        """Read at most a block."""
        self._transfer(os.preadv, "reading back at", offset, _whole_sectors(size))
        return self._buffer[:size]

    def reread_table(self) -> None:
        """Have the kernel look for partitions; where it does not, plugging it in again helps as well."""
        try:
            fcntl.ioctl(self._fd, BLKRRPART)
        except OSError:
            return

    def _transfer(
        self, call: Callable[[int, list[memoryview], int], int], doing: str, offset: int, size: int
    ) -> None:
        done = 0
        with memoryview(self._buffer) as view:
            while done < size:
                try:
                    count = call(self._fd, [view[done:size]], offset + done)
                except OSError as e:
                    raise self._error(e, doing, offset + done) from None
                if not count:
                    raise self._error(OSError(errno.ENXIO, "the device ends there"), doing, offset + done)
                done += count

    def _error(self, e: OSError, doing: str, offset: int) -> BuildError:
        return BuildError(
            f"{self.path}: {e.strerror} when {doing} offset {offset}",
            "was it pulled out? If not, it is worn out: take another",
        )


def _whole_sectors(size: int) -> int:
    return -(-size // partitions.SECTOR) * partitions.SECTOR


def write(target: Target, image: BlockMap, watch: Watch) -> None:
    """Write an image and read it back.

    Raises:
        BuildError: the device fails or does not keep what was written, or the image cannot be read any more.
        KeyboardInterrupt: with a text, since half an image is there.
    """
    half = f"{target.path} holds half an image now: flash it again before you use it"
    try:
        head, rest = image.blocks[0], image.blocks[1:]
        target.zero(head.offset, head.size)
        _write_rest(target, image, watch)
        target.flush(image.size)
        watch.begin("reading back", sum(block.size for block in rest))
        for block in rest:
            _compare(target, block)
            watch.advance(block.size)
        target.write(head.offset, image.head)
        target.flush(head.size)
        _compare(target, head)
        target.reread_table()
    except BuildError as e:
        raise BuildError(e.message, f"{half}; {e.hint}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {half}") from None


def _write_rest(target: Target, image: BlockMap, watch: Watch) -> None:
    """All but the first block."""
    watch.begin("writing", sum(block.size for block in image.blocks[1:]))
    with closing(blockmap.read(image.path)) as content:
        for block in image.blocks:
            _, data = next(content, (0, b""))
            if hashlib.sha256(data).digest() != block.sha256:
                raise BuildError(
                    f"{image.path}: it has changed since it was checked",
                    "let the file alone until it is written",
                )
            if block.offset == 0:
                continue
            if block.zeros:
                target.zero(block.offset, block.size)
            else:
                target.write(block.offset, data)
            watch.advance(block.size)


def _compare(target: Target, block: blockmap.Block) -> None:
    if hashlib.sha256(target.read(block.offset, block.size)).digest() != block.sha256:
        raise BuildError(
            f"{target.path}: it does not hold what was written: the {block.size} bytes at offset "
            f"{block.offset} differ",
            "it is worn out or smaller than it says: take another",
        )
