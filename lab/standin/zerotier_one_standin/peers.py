"""Other nodes and the paths to them."""

import time
from dataclasses import dataclass, field

from .addresses import Inet
from .identity import Identity
from .links import Endpoint, Link, inet

PATH_ALIVE = 15.0  # seconds without a word after which a path is not used
PATH_KEPT = 120.0  # and after which it is forgotten


@dataclass(eq=False)
class Path:
    """One way to a peer: our socket, its address."""

    link: Link
    endpoint: Endpoint
    created: float = field(default_factory=time.monotonic)
    last_send: float = float("-inf")
    last_receive: float = float("-inf")
    latency: float = 9.9

    @property
    def address(self) -> Inet:
        """The far end."""
        return inet(self.endpoint)

    def alive(self, now: float) -> bool:
        """Whether it has been heard from lately."""
        return now - self.last_receive < PATH_ALIVE

    def forgotten(self, now: float) -> bool:
        """Whether it has led nowhere for long."""
        return now - max(self.last_receive, self.created) > PATH_KEPT


@dataclass(eq=False)
class Peer:
    """A node that we know of."""

    node: int
    identity: Identity | None = None
    version: tuple[int, int, int] = (-1, -1, -1)
    role: str = "LEAF"
    stable: tuple[Inet, ...] = ()
    paths: dict[tuple[Link, Endpoint], Path] = field(default_factory=dict)
    preferred: Path | None = None

    def path(self, link: Link, endpoint: Endpoint) -> Path:
        """The path by that socket and address, new or known."""
        key = (link, endpoint)
        if key not in self.paths:
            self.paths[key] = Path(link, endpoint)
        return self.paths[key]

    def choose(self, now: float) -> bool:
        """Choose the path to use, keeping the present one while it lives; whether it changed."""
        for key in [key for key, path in self.paths.items() if path.forgotten(now)]:
            del self.paths[key]
        current = self.preferred
        if current is not None and current.alive(now) and current in self.paths.values():
            return False
        living = [path for path in self.paths.values() if path.alive(now)]
        self.preferred = min(living, key=lambda path: path.latency, default=None)
        return self.preferred is not current
