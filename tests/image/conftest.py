"""A built image as a black box: its partition table and file systems, read without root or mount."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def tool(*words: str | Path, content: bytes = b"") -> bytes:
    env = {**os.environ, "PATH": PATH, "TZ": "UTC"}
    done = subprocess.run(words, input=content, capture_output=True, check=False, env=env)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout


@dataclass(frozen=True)
class Entry:
    """What debugfs says of a file."""

    kind: str  # regular | directory | symlink
    mode: int
    owner: tuple[int, int]
    size: int
    mtime: int


@dataclass(frozen=True)
class Root:
    """The ext4 file system at an offset of an image."""

    image: Path
    offset: int

    @property
    def device(self) -> str:
        return f"{self.image}?offset={self.offset}"

    def ask(self, request: str) -> bytes:
        return tool("debugfs", "-R", request, self.device)

    def stat(self, path: str) -> Entry | None:
        """None for a path that is not there."""
        text = self.ask(f'stat "{path}"').decode(errors="replace")
        if "Inode:" not in text:
            return None
        found = re.search(
            r"Type: (\w+)\s+Mode:\s+(\d+).*?User:\s+(\d+)\s+Group:\s+(\d+).*?Size: (\d+)", text, re.DOTALL
        )
        mtime = re.search(r"mtime: 0x([0-9a-f]+)", text)
        assert found, text
        assert mtime, text
        owner = (int(found[3]), int(found[4]))
        return Entry(found[1], int(found[2], 8), owner, int(found[5]), int(mtime[1], 16))

    def read(self, path: str) -> bytes:
        return self.ask(f'cat "{path}"')

    def text(self, path: str) -> str:
        assert self.stat(path), f"{path} is not in the image"
        return self.read(path).decode()

    def names(self, directory: str) -> set[str]:
        lines = self.ask(f'ls -p "{directory}"').decode().splitlines()
        return {line.split("/")[5] for line in lines if line.startswith("/")} - {".", ".."}

    def link(self, path: str) -> str:
        """Where a symbolic link leads: short targets are in the inode, long ones are the content."""
        entry = self.stat(path)
        assert entry is not None, f"{path} is not in the image"
        assert entry.kind == "symlink", f"{path} is no link"
        fast = re.search(r'Fast link dest: "(.*)"', self.ask(f'stat "{path}"').decode())
        return fast[1] if fast else self.read(path).decode()


@dataclass(frozen=True)
class Disk:
    """The image."""

    path: Path

    @cached_property
    def table(self) -> dict[str, Any]:
        table: dict[str, Any] = json.loads(tool("sfdisk", "-J", self.path))["partitiontable"]
        return table

    def offset(self, number: int) -> int:
        return int(self.table["partitions"][number - 1]["start"]) * 512

    @property
    def root_number(self) -> int:
        return len(self.table["partitions"])

    @property
    def fat_number(self) -> int:
        return self.root_number - 1

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def root(self) -> Root:
        return Root(self.path, self.offset(self.root_number))

    def at(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as f:
            f.seek(offset)
            return f.read(size)

    def fat(self, command: str, *words: str) -> bytes:
        return tool(command, "-i", f"{self.path}@@{self.offset(self.fat_number)}", *words)


@pytest.fixture(scope="session")
def vps(image: Path) -> Disk:
    return Disk(image)


@pytest.fixture(scope="session")
def pi(pi_image: Path) -> Disk:
    return Disk(pi_image)


@pytest.fixture(scope="session", params=["vps", "pi"])
def disk(request: pytest.FixtureRequest) -> Disk:
    """Every image, one after the other."""
    found: Disk = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def root(disk: Disk) -> Root:
    return disk.root


def cpio_members(archive: bytes) -> tuple[dict[str, bytes], bytes]:
    """The files of a cpio archive (newc; the kernel's buffer-format.rst) and what comes after it."""
    members, at = {}, 0
    while archive[at : at + 6] == b"070701":
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) & ~3
        at = (start + size + 3) & ~3
        if name == "TRAILER!!!":
            break
        members[name.removeprefix("./")] = archive[start : start + size]
    return members, archive[at:].lstrip(b"\0")


@pytest.fixture(scope="session")
def initrd(root: Root) -> dict[str, bytes]:
    """What is in the initrd: modules, compressed one by one, and after them all the rest in one zstd."""
    modules, rest = cpio_members(root.read("/" + root.link("/initrd.img")))
    assert rest[:4] == b"\x28\xb5\x2f\xfd", "no zstd (RFC 8878)"
    others, rest = cpio_members(tool("zstd", "-d", "-q", "-c", content=rest))
    assert rest == b""
    return modules | others
