"""A package in the form that is cheapest to install: its own members, not compressed.

Of what dpkg takes, unpacking xz was a quarter; and what is essential it unpacks twice, and what is a tool as well
a third time. Here that is done once for each package that there is.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from debian.arfile import ArFile, ArMember

MAGIC = b"!<arch>\n"
HEADER = "{name:<16}{mtime:<12}{owner:<6}{group:<6}{mode:<8}{size:<10}`\n"  # ar(5)
PIECE = 1 << 20
# zstd's members stay as they are: Debian has none, and what dpkg-deb takes to read them is little.
OPEN: dict[str, Callable[[Any], IO[bytes]]] = {".xz": lzma.open, ".gz": gzip.open}


def write(deb: Path, target: Path) -> None:
    """A package that is the same to dpkg."""
    with deb.open("rb") as packed, target.open("wb") as out:
        out.write(MAGIC)
        for member in ArFile(fileobj=packed).getmembers():
            name = Path(member.name)
            if name.suffix in OPEN:
                with OPEN[name.suffix](_stream(member)) as content:
                    _append(out, name.stem, content)
            else:
                _append(out, member.name, _stream(member))


def _stream(member: ArMember) -> Any:
    """It reads and seeks as a file does, and does not say so by its type."""
    return member


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
