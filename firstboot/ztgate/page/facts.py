"""What the page knows: `ztgate observe` writes it as root, and the page's server may see nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FACTS, DOCTOR, ZEROTIER = "facts.json", "doctor.json", "zerotier.prom"
QR, KIT = "qr.svg", "kit"


@dataclass(frozen=True)
class Member:
    """One of the network's members, as the gateway sees it.

    direct: None where ZeroTier says nothing. latency: ms, -1 unknown. heard, used4, used6: when it was heard
    of last, and last sent something out through this gateway, in seconds since 1970; 0 never. sent, received:
    bytes through this gateway, seen from the member.
    """

    node: str
    name: str = ""
    addresses: tuple[str, ...] = ()
    direct: bool | None = None
    latency: int = -1
    heard: float = 0.0
    used4: float = 0.0
    used6: float = 0.0
    sent: int = 0
    received: int = 0


@dataclass(frozen=True)
class Facts:
    """The gateway. at, last_run: seconds since 1970. up, down: bytes a second from and to members.

    status: what `ztgate status` shows. public4: whom the internet sees behind members' IPv4; public6: the
    same for IPv6 where they share one address. interfaces: bytes in and out, of "members" and "wan".
    refused: packets, by the firewall's words for why.
    """

    at: float = 0.0
    name: str = "ztgate"
    network: str = ""
    page: str = ""
    hosts: tuple[str, ...] = ()
    last_run: float = 0.0
    status: Mapping[str, Any] = field(default_factory=dict)
    public4: str = ""
    public6: str = ""
    up: float | None = None
    down: float | None = None
    interfaces: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One link of the chain, as the doctor found it."""

    name: str
    ok: bool
    evidence: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class Examination:
    """What the doctor said, and when."""

    at: float = 0.0
    verdicts: tuple[Verdict, ...] = ()

    @property
    def broken(self) -> Verdict | None:
        """The first broken link, which is the cause of others."""
        return next((verdict for verdict in self.verdicts if not verdict.ok), None)


def dump(what: Facts | Examination) -> bytes:
    """As the file's content."""
    return json.dumps(asdict(what)).encode()


def facts(folder: Path) -> Facts:
    """The facts of a folder; empty ones where there are none yet."""
    data = _json(folder / FACTS)
    members = tuple(
        Member(**{**row, "addresses": tuple(row["addresses"])}) for row in data.get("members", ())
    )
    known = {key: data[key] for key in Facts.__dataclass_fields__ if key in data}
    return Facts(**{**known, "members": members, "hosts": tuple(data.get("hosts", ()))})


def examination(folder: Path) -> Examination:
    """What the doctor said last; nothing where he has not come yet."""
    data = _json(folder / DOCTOR)
    return Examination(data.get("at", 0.0), tuple(Verdict(**row) for row in data.get("verdicts", ())))


def text(path: Path) -> str:
    """A file of the folder; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    # Files are replaced as a whole, so one that is there is complete.
    return dict(json.loads(text(path) or "{}"))
