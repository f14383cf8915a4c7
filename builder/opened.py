"""A package in the form that is cheapest to install: its own members, not compressed.

A quarter of the processor time that an image took was unpacking xz: twice for what is essential, and once
more for what is a tool as well. Here that is done once for each package.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

from debian.arfile import ArFile

MAGIC = b"!<arch>\n"
HEADER = "{name:<16}{mtime:<12}{owner:<6}{group:<6}{mode:<8}{size:<10}`\n"  # ar(5)
PIECE = 1 << 20


def write(deb: Path, target: Path) -> None:
    """A package that is the same to dpkg."""
    with deb.open("rb") as packed, target.open("wb") as out:
        out.write(MAGIC)
        for member in ArFile(fileobj=packed).getmembers():
            name, content = _plain(member)
            with content as stream:
                _append(out, name, stream)


def _plain(member: Any) -> tuple[str, Any]:
    """Its name and content. zstd's members stay as they are: Debian has none, and it is quick."""
    name = Path(member.name)
    if name.suffix == ".xz":
        return name.stem, lzma.LZMAFile(member)
    if name.suffix == ".gz":
        return name.stem, gzip.GzipFile(fileobj=member)
    return member.name, nullcontext(member)


def _append(out: IO[bytes], name: str, content: IO[bytes]) -> None:
    at = out.tell()
    out.write(_header(name, 0))
    shutil.copyfileobj(content, out, PIECE)
    end = out.tell()
    out.seek(at)
    out.write(_header(name, end - at - len(_header(name, 0))))
    out.seek(end)
    out.write(b"\n" * (end % 2))


def _header(name: str, size: int) -> bytes:
    return HEADER.format(name=name, mtime=0, owner=0, group=0, mode=100644, size=size).encode("ascii")
