"""An initrd's content: a plain cpio archive, and behind it one that zstd has packed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import BinaryIO

from builder.run import streamed
from builder.tools import Tools

ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878
TRAILER = b"TRAILER!!!"  # ends a cpio archive
MODULE = re.compile(rb"/([\w-]+)\.ko(?:\.xz|\.zst)?\0")  # names end with a zero there


def unpack(data: bytes, tools: Tools, out: BinaryIO, scratch: Path) -> None:
    """Append all of it to a file, unpacked; `scratch` is a file that may be used meanwhile."""
    start = data.find(ZSTD, max(data.find(TRAILER), 0))
    out.write(data if start < 0 else data[:start])
    if start >= 0:
        scratch.write_bytes(data[start:])
        with streamed(tools.argv("usr/bin/zstd", ["-d", "-q", "-c", scratch])) as unpacked:
            shutil.copyfileobj(unpacked, out)
        scratch.unlink()


def modules(unpacked: bytes) -> set[str]:
    """The kernel modules of an unpacked initrd, as modprobe names them."""
    return {name.decode().replace("-", "_") for name in MODULE.findall(unpacked)}
