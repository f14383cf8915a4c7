"""An ext4 file system in an image, asked through debugfs of the tools tree: no root, no mount."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from builder.run import streamed
from builder.tools import Tools

PROGRAM = "usr/sbin/debugfs"


@dataclass(frozen=True)
class File:
    """A name in a file system: its inode, mode with its kind, and size."""

    inode: int
    mode: int
    size: int

    @property
    def regular(self) -> bool:
        """Whether it has content."""
        return stat.S_ISREG(self.mode)

    @property
    def directory(self) -> bool:
        """Whether there is something below it."""
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Debugfs:
    """The file system at an offset of an image, in bytes."""

    tools: Tools
    image: Path
    offset: int

    def files(self) -> dict[str, File]:
        """Every path, without a leading slash; debugfs is asked once for each level."""
        found: dict[str, File] = {}
        level = [""]
        while level:
            answers = self.ask([f'ls -p "/{directory}"' for directory in level])
            here = {
                f"{directory}/{name}".lstrip("/"): file
                for directory, answer in zip(level, answers, strict=True)
                for name, file in _listed(answer)
            }
            found |= here
            level = [path for path, file in here.items() if file.directory]
        return found

    def ask(self, requests: Iterable[str]) -> list[bytes]:
        """What it says to each request: it repeats the request before it, after a prompt."""
        lines = list(requests)
        if not lines:
            return []
        with self.answering(lines) as said:
            text = said.read()
        answers, at = [], 0
        for mine, following in zip(lines, [*lines[1:], None], strict=True):
            start = at + len(prompted(mine))
            at = len(text) if following is None else text.find(prompted(following), start)
            answers.append(text[start:at])
        return answers

    @contextmanager
    def answering(self, lines: Iterable[str]) -> Iterator[IO[bytes]]:
        """All that it says to some requests, while it says it."""
        with tempfile.TemporaryFile() as script:
            script.write("".join(f"{line}\n" for line in lines).encode())
            script.seek(0)
            argv = self.tools.argv(PROGRAM, ["-f", "-", f"{self.image}?offset={self.offset}"])
            with streamed(argv, env=self.tools.environment(), stdin=script.fileno()) as said:
                yield said


def prompted(request: str) -> bytes:
    """A request as debugfs repeats it."""
    return f"debugfs: {request}\n".encode()


def _listed(answer: bytes) -> Iterator[tuple[str, File]]:
    """Names and what they are, of each line of `ls -p`."""
    for line in answer.decode(errors="replace").splitlines():
        if line.startswith("/"):
            inode, mode, _, _, name, size, _ = line[1:].split("/")
            if name not in (".", "..", ""):  # the last: room for names in lost+found
                yield name, File(int(inode), int(mode, 8), int(size or 0))
