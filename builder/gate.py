"""The leak gate: an image is searched before it is sealed, by name and by content, down to its raw disk.

grep reads everything once for what is quick to find; each hit is then looked at with all that must be
there. What the raw disk has and no file has, lies in a block that no file owns, or in what the file systems
keep themselves.
"""

from __future__ import annotations

import base64
import bz2
import fcntl
import fnmatch
import lzma
import mmap
import os
import re
import threading
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import partitions
from builder.errors import BuildError
from builder.files import data_extents
from builder.leaks import DEBIANS, NAMES, PRIVATE, PRIVATE_LIMIT, TAKE_OUT, Rule
from builder.listing import DIRECTORY, Member
from builder.run import CommandError, streamed

BEFORE, AFTER = 300, 1024  # bytes around a hit that are looked at; a ZeroTier identity has 270
SHOWN = 8  # findings in an error
FAT, INITRD = "fat:", "initrd:"
OWN = "a secret of your gateway.yaml"
UNPACKERS: Mapping[str, Callable[[], Any]] = {
    "gz": lambda: zlib.decompressobj(wbits=31),  # with gzip's header
    "xz": lzma.LZMADecompressor,
    "bz2": bz2.BZ2Decompressor,
}
UNPACKED_LIMIT = 16 << 20  # bytes that are looked at


@dataclass(frozen=True)
class Finding:
    """Something that must not be there. Its text is a secret perhaps: compared, and never shown."""

    where: str
    kind: str
    hint: str
    text: bytes = b""

    def line(self) -> str:
        """Place and kind, for an error."""
        return f"{self.where}: {self.kind}"


@dataclass(frozen=True)
class Part:
    """A file inside a bigger one: its name, offset and size; size 0 for what has no content."""

    name: str
    offset: int
    size: int


def parts(members: Iterable[Member]) -> list[Part]:
    """What is searched of a tar."""
    return [Part(m.path, m.offset, m.size) for m in members if m.kind != DIRECTORY]


@dataclass(frozen=True)
class Search:
    """What is searched: a tar of the root, the FAT partition's trees, an unpacked initrd, and the disk."""

    tar: Path
    members: Sequence[Part]
    rules: Sequence[Rule]
    fat: Sequence[Path] = ()
    initrd: Path | None = None
    disk: Path | None = None
    known: tuple[bytes, ...] = ()  # the user's own secrets
    allowed: tuple[str, ...] = ()  # paths that hold secrets on purpose

    @property
    def spelled(self) -> tuple[bytes, ...]:
        """The user's own secrets, also as they may be encoded in files; a disk is too big for that."""
        return (*self.known, *(other for secret in self.known for other in spellings(secret)))


@dataclass(frozen=True)
class Report:
    """What was found and is there on purpose."""

    on_purpose: tuple[Finding, ...]


def inspect(search: Search) -> Report:
    """Search it all.

    Raises:
        BuildError: something is in it that must not be.
    """
    trees = {f"{FAT}{path.relative_to(tree)}": path for tree in search.fat for path in _files(tree)}
    files: dict[Path, str] = {path: name for name, path in trees.items()}
    if search.initrd is not None:
        files[search.initrd] = INITRD
    anchored = [rule for rule in search.rules if rule.anchor]
    with ThreadPoolExecutor(2) as both:
        of_disk = both.submit(_in_disk, search.disk, search, anchored) if search.disk else None
        found = [*by_name([*(m.name for m in search.members), *trees]), *_in_tar(search, anchored)]
        for path, name in files.items():
            found += _in_file(path, name, search, anchored)
        on_disk = of_disk.result() if of_disk else []
    left = Counter(f.text for f in found if f.text)
    for finding in on_disk:
        if left[finding.text] > 0:
            left[finding.text] -= 1
        else:
            found.append(finding)
    return judge(found, search.allowed)


def judge(found: Sequence[Finding], allowed: Sequence[str]) -> Report:
    """BuildError for what must not be there; a report of the rest."""
    fine = tuple(f for f in found if _path(f.where) in allowed)
    bad = [f for f in dict.fromkeys(found) if f not in fine]
    if bad:
        more = f"\n    and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        lines = "".join(f"\n    {f.line()}" for f in bad[:SHOWN])
        raise BuildError(
            f"the image would give away what it must not, and is not made:{lines}{more}", bad[0].hint
        )
    return Report(fine)


def by_name(names: Sequence[str]) -> list[Finding]:
    """Files whose names say what they are."""
    patterns = {re.compile(fnmatch.translate(pattern)): kind for pattern, kind in NAMES.items()}
    found, some = [], _like(NAMES)
    for name in names:
        plain = f"{FAT}/{name.removeprefix(FAT)}".lower() if name.startswith(FAT) else name  # FAT has no case
        if some.match(plain):
            kind = next(kind for pattern, kind in patterns.items() if pattern.match(plain))
            found.append(Finding(_shown(name), kind, TAKE_OUT))
    return found


def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file())


def _in_tar(search: Search, anchored: Sequence[Rule]) -> list[Finding]:
    parts = search.members
    starts = [part.offset for part in parts]
    wanted = _like({pattern for rule in search.rules for pattern in rule.where})
    found: list[Finding] = []
    with _mapped(search.tar) as data:
        for at in [*_grep(search.tar, anchored), *_known(data, [(0, len(data))], search.spelled)]:
            index = bisect_right(starts, at) - 1
            part = parts[index] if index >= 0 else Part("", 0, 0)
            inside = part.offset <= at < part.offset + part.size
            end = part.offset + part.size if inside else len(data)
            name = part.name if inside else ""
            found += _confirmed(data, at, part.offset if inside else 0, end, name, search)
        for part in parts:
            if 0 < part.size <= PRIVATE_LIMIT:
                if wanted.match(part.name):
                    found += _private(data, part, search.rules)
                if PACKED.match(part.name):
                    found += _packed(data, part, search)
    return found


def _in_file(path: Path, name: str, search: Search, anchored: Sequence[Rule]) -> list[Finding]:
    if path.stat().st_size == 0:
        return []
    with _mapped(path) as data:
        hits = [*_grep(path, anchored), *_known(data, [(0, len(data))], search.spelled)]
        found = [f for at in hits for f in _confirmed(data, at, 0, len(data), name, search)]
        if len(data) <= PRIVATE_LIMIT:
            found += _private(data, Part(name, 0, len(data)), search.rules)
            if PACKED.match(name):
                found += _packed(data, Part(name, 0, len(data)), search)
    return found


def _in_disk(disk: Path, search: Search, anchored: Sequence[Rule]) -> list[Finding]:
    with disk.open("rb") as file:
        try:
            table = partitions.read(file)
        except partitions.NoTable:
            table = []
    found: list[Finding] = []
    extents = data_extents(disk)
    with _mapped(disk) as data:
        for at in [*_grep_extents(disk, extents, anchored), *_known(data, extents, search.known)]:
            number = next((i for i, p in enumerate(table, 1) if p.offset <= at < p.offset + p.size), 0)
            where = f"partition {number}" if number else "outside all partitions"
            found += _confirmed(data, at, 0, len(data), f"disk:{where}, at byte {at}", search)
    return found


def _confirmed(data: mmap.mmap, at: int, low: int, high: int, name: str, search: Search) -> Iterator[Finding]:
    """What is really there, where something was hit."""
    start = max(at - BEFORE, low)
    window = data[start : min(at + AFTER, high)]
    for rule in search.rules:
        if not rule.anchor:
            continue
        for match in rule.confirm.finditer(window):
            if match.start() <= at - start < match.end():
                yield Finding(_shown(name), rule.kind, rule.hint, match[0])
    for secret in search.spelled:
        if window.startswith(secret, at - start):
            yield Finding(_shown(name), OWN, TAKE_OUT, secret)


def _private(data: mmap.mmap, part: Part, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Rules for files that are nobody's package's."""
    fits = [r for r in rules if r.where and _is_like(part.name, r.where)]
    if fits and not _is_like(part.name, DEBIANS):
        content = data[part.offset : part.offset + part.size]
        for rule in fits:
            if rule.confirm.search(content):
                yield Finding(_shown(part.name), rule.kind, rule.hint)


def _packed(data: mmap.mmap, part: Part, search: Search) -> Iterator[Finding]:
    """What is in a compressed file that is nobody's package's."""
    if _is_like(part.name, DEBIANS):
        return
    unpacker = UNPACKERS[part.name.rpartition(".")[2]]()
    try:
        content = unpacker.decompress(data[part.offset : part.offset + part.size], UNPACKED_LIMIT)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):  # it is called so only
        return
    where = f"{_shown(part.name)}, unpacked"
    for rule in search.rules:
        if (rule.anchor or _is_like(part.name, rule.where)) and rule.confirm.search(content):
            yield Finding(where, rule.kind, rule.hint)
    if any(secret in content for secret in search.spelled):
        yield Finding(where, OWN, TAKE_OUT)


def spellings(secret: bytes) -> Iterator[bytes]:
    """A text in base64, wherever it begins in what was encoded, and in UTF-16."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + secret)
        # What its neighbours decide on, too, is left out.
        yield coded[(before * 4 + 2) // 3 : (before + len(secret)) * 8 // 6]
    yield b"".join(bytes((byte, 0)) for byte in secret)


def _like(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, sorted(patterns))) or "(?!)")


PACKED = _like({pattern + "." + suffix for pattern in PRIVATE for suffix in UNPACKERS})


def _is_like(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _shown(name: str) -> str:
    """A place in words."""
    if name.startswith("disk:"):
        return f"disk, {name.removeprefix('disk:')} (no file has it)"
    if name.startswith(INITRD):
        return "root partition: /initrd.img, unpacked"
    if name.startswith(FAT):
        return f"FAT partition: /{name.removeprefix(FAT)}"
    return f"root partition: /{name}"


def _path(where: str) -> str:
    return where.removeprefix("root partition: /")


def _known(data: mmap.mmap, extents: Sequence[tuple[int, int]], secrets: Sequence[bytes]) -> Iterator[int]:
    """Not by grep: secrets are no arguments of programs."""
    for secret in secrets:
        for start, end in extents:
            at = data.find(secret, start, end)
            while at >= 0:
                yield at
                at = data.find(secret, at + 1, end)


def _grep(path: Path, rules: Sequence[Rule]) -> list[int]:
    """Offsets in a file where a rule's anchor is."""
    with path.open("rb") as file:
        return _offsets(rules, file.fileno())


def _grep_extents(path: Path, extents: Sequence[tuple[int, int]], rules: Sequence[Rule]) -> list[int]:
    """The same without the holes of a sparse file, which would take as long as the data."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)  # fewer turns; as much as everybody may have, pipe(7)
    feeder = threading.Thread(target=_feed, args=(path, extents, write), daemon=True)
    feeder.start()
    try:
        hits = _offsets(rules, read)
    finally:
        os.close(read)
        feeder.join()
    starts, total = [], 0
    for start, end in extents:
        starts.append(total)
        total += end - start
    found = []
    for hit in hits:
        index = bisect_right(starts, hit) - 1
        found.append(extents[index][0] + hit - starts[index])
    return found


def _feed(path: Path, extents: Sequence[tuple[int, int]], write: int) -> None:
    try:
        with path.open("rb") as file, os.fdopen(write, "wb"):
            for start, end in extents:
                while start < end:
                    start += os.sendfile(write, file.fileno(), start, end - start)
    except BrokenPipeError:
        pass  # grep has ended, and says why


def _offsets(rules: Sequence[Rule], stdin: int) -> list[int]:
    words = [word for rule in rules for word in ("-e", rule.anchor)]
    found = []
    try:
        with streamed(
            ["grep", "--text", "--only-matching", "--byte-offset", "--extended-regexp", *words],
            env={"LC_ALL": "C"},  # bytes, not characters
            stdin=stdin,
        ) as said:
            found = [int(line.split(b":", 1)[0]) for line in said]
    except CommandError as e:
        if e.status != 1:  # nothing found
            raise
    return found


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
        yield data
