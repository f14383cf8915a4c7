"""Personal images as .zst: what all of them share is compressed once.

A .zst file is a row of frames, and whoever unpacks it puts them together (RFC 8878, 3). So an image's file
is copied from the frames that all of a batch share, with small ones of its own in between: those blocks that
may hold its gateway.yaml and what leads to it. Where a file system cannot share blocks (ext4), that is an
eighth of what a raw copy has to write.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from builder import copies
from builder.copies import Base, Pattern

SUFFIX = ".zst"
# Level 19, that of `export`, takes five times as long for a tenth less.
LEVEL = 12
OWN_LEVEL = 3


@dataclass(frozen=True)
class Piece:
    """A stretch of the image, from start to end in bytes.

    size: of its frame, which begins at `at` in the file of shared ones; 0 where each image has its own.
    """

    start: int
    end: int
    at: int = 0
    size: int = 0


@dataclass(frozen=True)
class Packed:
    """The frames that all images of a batch share, one behind the other in a file."""

    base: Base
    shared: Path
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Bytes that an image's file has, about: its own pieces at their longest."""
        return sum(piece.size or piece.end - piece.start for piece in self.pieces)


def pack(base: Base, patterns: Iterable[Pattern], shared: Path) -> Packed:
    """Compress what no pattern changes."""
    pieces, at = list[Piece](), 0
    with base.path.open("rb") as source, shared.open("wb") as out:
        for start, end in _own(patterns, base.state[1]):
            if at < start:
                pieces.append(_shared(source.fileno(), at, start, out.fileno()))
            if start < end:
                pieces.append(Piece(start, end))
            at = end
    base.check()
    return Packed(base, shared, tuple(pieces))


def make(packed: Packed, pattern: Pattern, content: bytes, target: Path) -> None:
    """Fill an existing file, which keeps its mode, with the image's frames and those of its own."""
    runs = list(pattern.filled(content))
    own = zstandard.ZstdCompressor(level=OWN_LEVEL, write_checksum=True)
    with (
        packed.base.path.open("rb") as image,
        packed.shared.open("rb") as shared,
        target.open("r+b") as out,
    ):
        for piece in packed.pieces:
            if piece.size:
                _append(shared.fileno(), piece, out.fileno())
            else:
                os.write(out.fileno(), own.compress(_with(image.fileno(), piece, runs)))
    packed.base.check()


def _own(patterns: Iterable[Pattern], size: int) -> Iterator[tuple[int, int]]:
    """What differs from image to image, in order, and at last the image's end."""
    runs = sorted((at, at + len(run)) for pattern in patterns for at, run in pattern.runs)
    low, high = runs[0]
    for start, end in runs[1:]:
        if start > high:
            yield low, high
            low, high = start, end
        high = max(high, end)
    yield low, high
    yield size, size


def _shared(image: int, start: int, end: int, out: int) -> Piece:
    """Append a frame of the image's bytes from start to end."""
    before = os.fstat(out).st_size
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=-1, write_checksum=True)
    with (
        os.fdopen(os.dup(out), "wb") as file,
        compressor.stream_writer(file, size=end - start) as writer,
    ):
        for at in range(start, end, copies.PIECE):
            writer.write(os.pread(image, min(copies.PIECE, end - at), at))
    return Piece(start, end, before, os.fstat(out).st_size - before)


def _with(image: int, piece: Piece, runs: Iterable[tuple[int, bytes]]) -> bytes:
    """The image's bytes of a piece, with what a configuration changes in it."""
    block = bytearray(os.pread(image, piece.end - piece.start, piece.start))
    for at, run in runs:
        if piece.start <= at < piece.end:
            block[at - piece.start : at - piece.start + len(run)] = run
    return bytes(block)


def _append(shared: int, piece: Piece, out: int) -> None:
    """A shared frame to the end of a file."""
    done = 0
    while done < piece.size:
        done += os.sendfile(out, shared, piece.at + done, piece.size - done)
