"""Finding other nodes: hellos to roots and peers, introductions by roots, and the choice of a path."""

import logging
import time
from collections.abc import Callable, Iterable

from . import VERSION, identity, wire
from .coerce import Json, to_int, to_str
from .identity import Identity
from .links import Endpoint, Link, Links, endpoint
from .peers import Path, Peer
from .world import World

log = logging.getLogger(__name__)

_HELLO_WAITING, _HELLO_SETTLED = 1.0, 5.0  # seconds between hellos before and after a first answer
_INTRODUCE_EVERY = 5.0


class Paths:
    """The peers, and how datagrams get to them. The data path reads; the control thread writes."""

    def __init__(self, own: Identity, links: Links, on_change: Callable[[], None]) -> None:
        self.identity = own
        self.address = own.address
        self.links = links
        self.peers: dict[int, Peer] = {}
        self.worlds: dict[int, World] = {}
        self.surface: dict[Link, str] = {}
        self.online = False
        self.to_self: Callable[[bytes], None] = lambda _: None
        self._on_change = on_change
        self._introduced: dict[tuple[int, int], float] = {}

    # -- reading ---------------------------------------------------------------------------------------

    def is_root(self) -> bool:
        """Whether this node is a root of one of its worlds."""
        return any(
            root.identity.address == self.address for each in self.worlds.values() for root in each.roots
        )

    def path_to(self, node: int) -> Path | None:
        """The direct path to a node, or else the path to a root."""
        peer = self.peers.get(node)
        if peer is not None and peer.preferred is not None:
            return peer.preferred
        roots = (peer.preferred for peer in list(self.peers.values()) if peer.stable)
        return next((path for path in roots if path is not None), None)

    # -- worlds ----------------------------------------------------------------------------------------

    def adopt(self, world: World) -> None:
        """Use a world's roots."""
        self.worlds[world.id] = world
        for root in world.roots:
            if root.identity.address != self.address:
                peer = self.peers.setdefault(root.identity.address, Peer(root.identity.address))
                peer.identity, peer.stable = root.identity, root.endpoints
                peer.role = "MOON" if world.is_moon else "PLANET"

    def abandon(self, number: int) -> None:
        """Use them no longer."""
        world = self.worlds.pop(number, None)
        for root in world.roots if world is not None else ():
            if root.identity.address in self.peers:
                self.peers[root.identity.address].stable = ()
                self.peers[root.identity.address].role = "LEAF"

    # -- sending ---------------------------------------------------------------------------------------

    def send(self, node: int, content: Json) -> bool:
        """Send a message by the best way there is; whether there was one."""
        data = wire.message(node, self.address, content)
        if node == self.address:
            self.to_self(data)
            return True
        path = self.path_to(node)
        return path is not None and self._send_raw(path, data)

    def _send_raw(self, path: Path, data: bytes) -> bool:
        try:
            path.link.socket.sendto(data, path.endpoint)
        except OSError as error:
            log.debug("%s: %s", path.address, error)
            return False
        return True

    def _hello(self, node: int, path: Path) -> None:
        path.last_send = time.monotonic()
        content = {"k": "hello", **self._introduction(), "t": path.last_send}
        self._send_raw(path, wire.message(node, self.address, content))

    def _introduction(self) -> Json:
        return {"identity": self.identity.public_text, "v": VERSION}

    # -- work done again and again ---------------------------------------------------------------------

    def scan_links(self) -> None:
        """Follow the interfaces' addresses."""
        if self.links.scan():
            for peer in self.peers.values():
                for key in [key for key in peer.paths if not self.links.is_open(key[0])]:
                    del peer.paths[key]
            self.surface = {link: at for link, at in self.surface.items() if self.links.is_open(link)}
            self._choose(self.peers.values())

    def hello_all(self) -> None:
        """Say hello on every path where it is time to, and try the roots' endpoints from every link."""
        now = time.monotonic()
        self._choose(self.peers.values())
        for peer in list(self.peers.values()):
            for link in self.links.by_address.values():
                for point in peer.stable:
                    if point.ip.version == link.version:
                        peer.path(link, endpoint(point))
            for path in list(peer.paths.values()):
                pause = _HELLO_SETTLED if path.alive(now) else _HELLO_WAITING
                if now - path.last_send >= pause:
                    self._hello(peer.node, path)

    def check_online(self) -> None:
        """See whether a root answers, or this node is one: noticed as late as in the real daemon."""
        self.online = self.is_root() or any(peer.stable and peer.preferred for peer in self.peers.values())

    def _choose(self, peers: Iterable[Peer]) -> None:
        now = time.monotonic()
        changed = [peer.node for peer in peers if peer.choose(now)]
        if changed:
            self._on_change()

    # -- what others say -------------------------------------------------------------------------------

    def on_hello(self, link: Link, sender: Endpoint, source: int, content: Json) -> None:
        """Answer a hello; only the answer to our own proves that a path works both ways."""
        now = time.monotonic()
        path = self._met(link, sender, source, content)
        answer = {"k": "ok", **self._introduction(), "t": content["t"], "you": str(path.address)}
        self._send_raw(path, wire.message(source, self.address, answer))
        if not path.alive(now) and now - path.last_send > _HELLO_WAITING / 2:
            self._hello(source, path)

    def on_ok(self, link: Link, sender: Endpoint, source: int, content: Json) -> None:
        """Take an answer to a hello."""
        path = self._met(link, sender, source, content)
        path.last_receive = time.monotonic()
        path.latency = path.last_receive - float(content["t"])
        if self.peers[source].stable:
            self.surface[link] = to_str(content["you"])
        self._choose([self.peers[source]])

    def _met(self, link: Link, sender: Endpoint, source: int, content: Json) -> Path:
        peer = self.peers.setdefault(source, Peer(source))
        peer.identity = identity.parse(to_str(content.get("identity"))) or peer.identity
        major, minor, revision = content["v"]
        peer.version = (to_int(major), to_int(minor), to_int(revision))
        return peer.path(link, sender[:2])

    def introduce(self, one: int, other: int) -> None:
        """As a root: tell two nodes that talk through this one where the other is."""
        now = time.monotonic()
        pair = (min(one, other), max(one, other))
        if now - self._introduced.get(pair, -_INTRODUCE_EVERY) < _INTRODUCE_EVERY:
            return
        self._introduced[pair] = now
        for node, about in (pair, pair[::-1]):
            for path in self.peers[about].paths.values() if about in self.peers else ():
                if path.alive(now):
                    self.send(node, {"k": "rendezvous", "node": f"{about:010x}", "at": str(path.address)})

    def on_rendezvous(self, content: Json) -> None:
        """Try to reach a node where a root says it is."""
        node = int(content["node"], 16)
        host, _, port = to_str(content["at"]).partition("/")
        peer = self.peers.setdefault(node, Peer(node))
        for link in self.links.by_address.values():
            if (link.version == 6) == (":" in host):
                path = peer.path(link, (host, int(port)))
                if not path.alive(time.monotonic()):
                    self._hello(node, path)
