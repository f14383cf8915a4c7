"""What steps ask for. Each says why; ztgate.apply carries them out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Command:
    """Run a tool."""

    argv: tuple[str, ...]
    why: str
    stdin: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True)
class WriteFile:
    """Replace a file atomically. vital=False: on a disk that takes nothing any more, a warning is enough."""

    path: Path
    content: bytes = field(repr=False)
    why: str
    mode: int = 0o644
    vital: bool = True

    def __str__(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True)
class SetSysctl:
    """Set a kernel variable, named with slashes: net/ipv4/ip_forward."""

    key: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"sysctl {self.key}={self.value}"


@dataclass(frozen=True)
class CallService:
    """A call to ZeroTier's local service that changes something."""

    path: str
    body: dict[str, Any]
    why: str
    method: str = "POST"

    def __str__(self) -> str:
        return f"zerotier-one {self.method} {self.path} {self.body}"


@dataclass(frozen=True)
class WriteNetwork:
    """Change keys of the network at the controller; arrays are replaced whole."""

    changes: dict[str, Any]
    why: str

    def __str__(self) -> str:
        return f"controller: network {self.changes}"


@dataclass(frozen=True)
class WriteMember:
    """Change keys of a member at the controller."""

    node: str
    changes: dict[str, Any]
    why: str

    def __str__(self) -> str:
        return f"controller: member {self.node} {self.changes}"


@dataclass(frozen=True)
class DeleteMember:
    """Have the controller forget a member."""

    node: str
    why: str

    def __str__(self) -> str:
        return f"controller: delete member {self.node}"


@dataclass(frozen=True)
class Overwrite:
    """Replace bytes of a file in place."""

    path: Path
    edits: tuple[tuple[int, bytes], ...] = field(repr=False)
    why: str

    def __str__(self) -> str:
        return f"overwrite {sum(len(content) for _, content in self.edits)} bytes of {self.path}"


@dataclass(frozen=True)
class Remove:
    """Delete a file, durably."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"delete {self.path}"


Action = (
    Command
    | WriteFile
    | SetSysctl
    | CallService
    | WriteNetwork
    | WriteMember
    | DeleteMember
    | Overwrite
    | Remove
)


def write_if_changed(
    path: Path, wanted: bytes, current: bytes | None, why: str, mode: int = 0o644
) -> list[Action]:
    """The plan for a file whose current content is known."""
    return [] if current == wanted else [WriteFile(path, wanted, why, mode)]
