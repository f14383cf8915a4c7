"""Every file of an image in one pass: who owns it, what machine it is a program for, what it gives away."""

import lzma
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .conftest import Disk, Root, tool

KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "regular", stat.S_IFLNK: "symlink"}
AT_ONCE = 64 << 20  # bytes of content that are asked for at once
Machine = tuple[str, int]  # a program's format, and the number of its machine there
Giveaway = tuple[bytes, bytes, str]  # a word that is quick to look for, what is then there, what that is
GIVEAWAYS: list[Giveaway] = [
    (
        b"PRIVATE KEY-----",
        rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+(?:Proc-Type|[A-Za-z0-9+/]{40})",
        "a private key",
    ),
    (b":0:", rb"\b[0-9a-f]{10}:0:[0-9a-f]{128}:[0-9a-f]{128}\b", "a ZeroTier node's secret"),
    (b"/tmp/mmdebstrap.", rb"/tmp/mmdebstrap\.\w{6}", "a directory of the build"),
]
PARTS = rb"/(?:build\.py|builder|overlays|firstboot|images|lab|out|tests|\.cache|\.venv)\b"


@dataclass(frozen=True)
class File:
    """A line of debugfs's ls -p; kind is a number for what an image has no use for, such as devices."""

    inode: int
    kind: str
    mode: int
    owner: tuple[int, int]
    size: int


@dataclass
class Whole:
    """What reading all of an image tells; paths outside the root file system begin with initrd: or fat:."""

    files: dict[str, File]
    paths: list[str] = field(default_factory=list)
    machines: dict[str, Machine] = field(default_factory=dict)
    giveaways: list[str] = field(default_factory=list)

    def look(self, path: str, content: bytes, giveaways: list[Giveaway]) -> None:
        """Note what a file's content tells."""
        self.paths.append(path)
        if machine := machine_of(content):
            self.machines[path] = machine
        for word, pattern, what in giveaways:
            if word in content and re.search(pattern, content):
                self.giveaways.append(f"{path}: {what}")


def read(disk: Disk, initrd: dict[str, bytes], scratch: Path, places: Iterable[Path]) -> Whole:
    """All of an image; places are where it may have been built."""
    names = {bytes(place) for place in places}
    giveaways = GIVEAWAYS + [(name, re.escape(name) + PARTS, "where it was built") for name in names]
    found = Whole(dict(walk(disk.root)))
    for path, content in contents(disk.root, found.files):
        found.look(path, content, giveaways)
    for path, content in initrd.items():
        found.look(f"initrd:/{path}", content, giveaways)
    disk.fat("mcopy", "-s", "::", str(scratch))
    for file in scratch.rglob("*"):
        if file.is_file():
            found.look(f"fat:/{file.relative_to(scratch)}", file.read_bytes(), giveaways)
    return found


def walk(root: Root) -> Iterator[tuple[str, File]]:
    """Every path below /; debugfs is asked once for each level of directories."""
    level = [""]
    while level:
        script = "".join(f'ls -p "{directory}/"\n' for directory in level)
        said = tool("debugfs", "-f", "-", root.device, content=script.encode()).decode()
        blocks = re.split(r"^debugfs: ls .*\n", said, flags=re.MULTILINE)[1:]
        here = [
            (f"{directory}/{name}", file)
            for directory, block in zip(level, blocks, strict=True)
            for name, file in _listed(block)
        ]
        yield from here
        level = [path for path, file in here if file.kind == "directory"]


def _listed(block: str) -> Iterator[tuple[str, File]]:
    for line in block.splitlines():
        if line.startswith("/"):
            inode, digits, uid, gid, name, size, _ = line[1:].split("/")
            mode = int(digits, 8)
            kind = KINDS.get(stat.S_IFMT(mode), digits)
            if name not in (".", "..", ""):  # the last: room for names in lost+found
                yield name, File(int(inode), kind, stat.S_IMODE(mode), (int(uid), int(gid)), int(size or 0))


def contents(root: Root, files: dict[str, File]) -> Iterator[tuple[str, bytes]]:
    """The regular files' contents; many at once, for debugfs takes its time to begin."""
    batch: dict[str, File] = {}
    size = 0
    for path, file in files.items():
        if file.kind == "regular":
            batch[path] = file
            size += file.size
        if size > AT_ONCE:
            yield from _cat(root, batch)
            batch, size = {}, 0
    yield from _cat(root, batch)


def _cat(root: Root, files: dict[str, File]) -> Iterator[tuple[str, bytes]]:
    script = "".join(f"cat <{file.inode}>\n" for file in files.values())
    said, at = tool("debugfs", "-f", "-", root.device, content=script.encode()), 0
    for path, file in files.items():
        asked = f"debugfs: cat <{file.inode}>\n".encode()
        assert said.startswith(asked, at), path
        at += len(asked) + file.size
        yield path, said[at - file.size : at]
    assert at == len(said)


def machine_of(content: bytes) -> Machine | None:
    """What a program, library, kernel or kernel module runs on; None for everything else."""
    if content.startswith(b"\xfd7zXZ\0"):
        content = lzma.LZMADecompressor().decompress(content, max_length=4096)
    if content.startswith(b"!<arch>\n"):  # a static library: its first member
        content = content[max(content.find(b"\x7fELF"), 0) :]
    if content.startswith(b"\x7fELF"):
        order = "<" if content[5] == 1 else ">"
        return f"ELF{32 * content[4]}", int(struct.unpack_from(f"{order}H", content, 18)[0])
    if content.startswith(b"MZ") and len(content) > 64:
        at = int(struct.unpack_from("<I", content, 60)[0])
        if content[at : at + 4] == b"PE\0\0":
            return "PE", int(struct.unpack_from("<H", content, at + 4)[0])
    return None
