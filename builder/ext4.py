"""Every file of an ext4 file system in an image, through debugfs: no root, no mount."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from builder.debugfs import Debugfs, prompted
from builder.tools import Tools

ROOT = 2  # its inode, linux/fs/ext4/ext4.h
STAT = re.compile(r"User:\s+(\d+)\s+Group:\s+(\d+).*?Size: (\d+)", re.DOTALL)
TIME = re.compile(r"^ ?([acm]|cr)time: 0x([0-9a-f]+)", re.MULTILINE)
ATTRIBUTES = re.compile(r"^Extended attributes:\n((?:  .*\n)+)", re.MULTILINE)
DEVICE = re.compile(r"Device major/minor number: (\S+)")
LINK = re.compile(r'^Fast link dest: "(.*)"', re.MULTILINE)
PIECE = 1 << 20


@dataclass(frozen=True)
class Node:
    """A file, directory or link: what a person may want to know of how two differ."""

    mode: str  # as ls writes it
    owner: str
    size: int
    times: tuple[tuple[str, int], ...]  # m, a, c, cr: seconds since 1970
    more: str  # a link's target, a device's number, extended attributes
    content: str = ""  # sha256


@dataclass(frozen=True)
class FileSystem:
    """An ext4 file system at an offset of an image."""

    tools: Tools
    image: Path
    offset: int

    def read(self) -> dict[str, Node]:
        """All that is in it, by path."""
        files = self._debugfs.files()
        inodes = {"/": ROOT, **{f"/{path}": file.inode for path, file in files.items()}}
        modes = {ROOT: stat.S_IFDIR | 0o755, **{file.inode: file.mode for file in files.values()}}
        nodes = self._nodes(inodes, modes)
        sums = self._sums({i: node.size for i, node in nodes.items() if node.mode.startswith("-")})
        return {
            path: Node(n.mode, n.owner, n.size, n.times, n.more, sums.get(inode, ""))
            for path, inode in inodes.items()
            for n in (nodes[inode],)
        }

    def whose(self, block: int) -> str:
        """What a block belongs to, as debugfs says it: an inode's number, or words that it has none."""
        said = self._ask([f"icheck {block}"])[0].split("\n")
        return next((line.split("\t")[1] for line in said if line.startswith(f"{block}\t")), "")

    def _nodes(self, inodes: dict[str, int], modes: dict[int, int]) -> dict[int, Node]:
        numbers = sorted(set(inodes.values()))
        said = self._ask(f"stat <{number}>" for number in numbers)
        return {number: _node(modes[number], text) for number, text in zip(numbers, said, strict=True)}

    def _sums(self, sizes: dict[int, int]) -> dict[int, str]:
        """The files' checksums; one run of debugfs writes all of them, one after the other."""
        with self._debugfs.answering(f"cat <{inode}>" for inode in sizes) as pipe:
            sums = {}
            for inode, size in sizes.items():
                asked = prompted(f"cat <{inode}>")
                if pipe.read(len(asked)) != asked:
                    break  # a size that is a lie: the rest cannot be told apart
                sums[inode] = _sum(pipe, size)
            while pipe.read(PIECE):
                pass
        return sums

    def _ask(self, requests: Iterable[str]) -> list[str]:
        """What debugfs answers to each."""
        return [said.decode(errors="replace") for said in self._debugfs.ask(requests)]

    @property
    def _debugfs(self) -> Debugfs:
        return Debugfs(self.tools, self.image, self.offset)


def _node(mode: int, said: str) -> Node:
    found = STAT.search(said)
    user, group, size = found.groups() if found else ("?", "?", "0")
    times = tuple((name, int(value, 16)) for name, value in TIME.findall(said))
    parts = [pattern.search(said) for pattern in (LINK, DEVICE, ATTRIBUTES)]
    more = " ".join(" ".join(part[1].split()) for part in parts if part)
    return Node(stat.filemode(mode), f"{user}:{group}", int(size), times, more)


def _sum(pipe: IO[bytes], size: int) -> str:
    total, left = hashlib.sha256(), size
    while left and (piece := pipe.read(min(left, PIECE))):
        total.update(piece)
        left -= len(piece)
    return total.hexdigest()
