"""The control thread: finding peers through roots, joining networks, answering what other nodes send."""

import logging
import queue
import select
import threading
import time
from collections.abc import Iterable

from . import VERSION, config, identity, network, wire, world
from .addresses import Inet
from .coerce import Json, to_int, to_str
from .controller import Controller
from .errors import StandinError
from .home import Home
from .links import Endpoint, Link, Links, endpoint
from .netlink import Netlink
from .network import Network
from .peers import Path, Peer
from .schedule import Schedule
from .switch import Message, Met, Switch
from .world import World

log = logging.getLogger(__name__)

_HELLO_WAITING, _HELLO_SETTLED = 1.0, 5.0  # seconds between hellos before and after a first answer
_ASK_WAITING, _ASK_DENIED, _ASK_SETTLED = 1.0, 5.0, 30.0  # and between requests for a configuration
_INTRODUCE_EVERY = 5.0
_LIKE_EVERY = 20.0


class Node:
    """This node. Everything here happens under `lock`, except what the data path reads."""

    def __init__(self, home: Home, port: int, blacklist: Iterable[str]) -> None:
        self.home = home
        self.identity = home.identity()
        self.address = self.identity.address
        self.lock = threading.RLock()
        self.peers: dict[int, Peer] = {}
        self.worlds: dict[int, World] = {}
        self.waiting_moons: dict[int, int] = {}  # world id -> node to ask
        self.surface: dict[Link, str] = {}
        poll = select.epoll()
        self.links = Links(port, blacklist, poll)
        self.switch = Switch(self, poll)
        self.controller = Controller(self.address, home, self.send)
        self._kernel = Netlink()
        self._introduced: dict[tuple[int, int], float] = {}
        self._was_online = False
        self._schedule = Schedule(
            ((2.0, self._scan_links), (0.5, self._hello_all), (0.5, self._ask_all), (5.0, self._scan_groups)),
            ((30.0, self._sync_all), (5.0, self._ask_for_moons)),
        )
        for each in home.worlds():
            self._adopt(each)

    # -- what the data path and the API ask ------------------------------------------------------------

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
        roots = (peer.preferred for peer in self.peers.values() if peer.stable)
        return next((path for path in roots if path is not None), None)

    @property
    def online(self) -> bool:
        """Whether a root answers, or this node is one."""
        return self.is_root() or any(peer.stable and peer.preferred for peer in self.peers.values())

    # -- life ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Do the control thread's work until stop()."""
        with self.lock:
            for nwid in self.home.networks():
                self._join_again(nwid)
        while True:
            try:
                event = self.switch.inbox.get(timeout=self._schedule.pause())
            except queue.Empty:
                event = Met(0, 0)
            if event is None:
                return
            with self.lock:
                self._handle(event)
                self._schedule.run_due()

    def stop(self) -> None:
        """Make both threads' loops end."""
        self.switch.stop()
        self.switch.inbox.put(None)

    def close(self) -> None:
        """Remove the taps, and with them addresses and routes."""
        for net in list(self.switch.networks.values()):
            self.switch.detach(net)

    def _handle(self, event: Message | Met) -> None:
        if isinstance(event, Met):
            if event.one:
                self._introduce(event.one, event.other)
            return
        try:
            self._receive(event)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("a message that makes no sense was ignored: %r", error)

    # -- networks --------------------------------------------------------------------------------------

    def join(self, nwid: int) -> Network:
        """Join a network, or return the one joined before."""
        if nwid in self.switch.networks:
            return self.switch.networks[nwid]
        if not self.home.network_config(nwid):
            self.home.save_network_config(nwid, {})
        net = Network(nwid, self.address, self.home.device_name(nwid), self.home.settings(nwid), self._kernel)
        self.switch.attach(net)
        saved = self.home.network_config(nwid)
        if saved:
            self._configure(net, saved)
        self._ask(net)
        return net

    def leave(self, nwid: int) -> bool:
        """Leave a network; whether it was joined."""
        net = self.switch.networks.get(nwid)
        if net is None:
            return False
        self.switch.detach(net)
        self.home.forget_network(nwid)
        return True

    def change_settings(self, net: Network, body: Json) -> None:
        """Take the owner's settings from a request, keep them and act on them."""
        net.settings = net.settings.changed(body)
        self.home.save_settings(net.nwid, net.settings)
        net.sync(self.online)

    def _join_again(self, nwid: int) -> None:
        try:
            self.join(nwid)
        except StandinError as error:
            log.error("unable to configure virtual network port: %s", error)

    def _configure(self, net: Network, raw: Json) -> None:
        net.configure(config.parse(raw))
        net.last_config = time.monotonic()
        net.sync(self.online)
        self.switch.forget()
        if net.scan_groups():
            net.likes_sent.clear()
        self._like(net)

    def _ask(self, net: Network) -> None:
        net.last_request = time.monotonic()
        content = {"k": "netconf-request", "nw": f"{net.nwid:016x}", "identity": self.identity.public_text}
        self.send(net.controller, {**content, "v": VERSION})

    def _ask_all(self) -> None:
        now = time.monotonic()
        pauses = {network.REQUESTING: _ASK_WAITING, network.OK: _ASK_SETTLED}
        for net in self.switch.networks.values():
            if now - net.last_request >= pauses.get(net.status, _ASK_DENIED):
                self._ask(net)

    def _scan_groups(self) -> None:
        for net in self.switch.networks.values():
            if net.scan_groups():
                net.likes_sent.clear()
            self._like(net)

    def _like(self, net: Network) -> None:
        """Tell the members what this node listens to."""
        now = time.monotonic()
        groups = [group.text for group in sorted(net.groups)]
        for node in net.config.members if net.status == network.OK else ():
            if node != self.address and now - net.likes_sent.get(node, -_LIKE_EVERY) >= _LIKE_EVERY:
                net.likes_sent[node] = now
                self.send(node, {"k": "like", "nw": f"{net.nwid:016x}", "groups": groups})

    def _sync_all(self) -> None:
        for net in self.switch.networks.values():
            net.sync(self.online)

    # -- worlds ----------------------------------------------------------------------------------------

    def _adopt(self, each: World) -> None:
        self.worlds[each.id] = each
        for root in each.roots:
            if root.identity.address != self.address:
                peer = self.peers.setdefault(root.identity.address, Peer(root.identity.address))
                peer.identity, peer.stable = root.identity, root.endpoints
                peer.role = "MOON" if each.is_moon else "PLANET"

    def forget_moon(self, number: int) -> None:
        """Stop using a moon."""
        self.waiting_moons.pop(number, None)
        gone = self.worlds.pop(number, None)
        (self.home.path / "moons.d" / f"{number:016x}.moon").unlink(missing_ok=True)
        for root in gone.roots if gone is not None else ():
            if root.identity.address in self.peers:
                self.peers[root.identity.address].stable = ()
                self.peers[root.identity.address].role = "LEAF"

    def _ask_for_moons(self) -> None:
        for number, seed in self.waiting_moons.items():
            self.send(seed, {"k": "moon-request", "id": f"{number:016x}"})

    # -- peers and paths -------------------------------------------------------------------------------

    def _scan_links(self) -> None:
        if self.links.scan():
            for peer in self.peers.values():
                for key in [key for key in peer.paths if not self.links.is_open(key[0])]:
                    del peer.paths[key]
            self.surface = {link: at for link, at in self.surface.items() if self.links.is_open(link)}
            self._choose_paths()

    def _choose_paths(self) -> None:
        now = time.monotonic()
        changed = [peer.node for peer in self.peers.values() if peer.choose(now)]
        if changed:
            self.switch.forget()

    def _hello_all(self) -> None:
        now = time.monotonic()
        self._choose_paths()
        for peer in list(self.peers.values()):
            for link in self.links.by_address.values():
                for point in peer.stable:
                    if point.ip.version == link.version:
                        peer.path(link, endpoint(point))
            for path in list(peer.paths.values()):
                pause = _HELLO_SETTLED if path.alive(now) else _HELLO_WAITING
                if now - path.last_send >= pause:
                    self._hello(peer.node, path)
        if self.online and not self._was_online:
            self._sync_all()
            for net in self.switch.networks.values():
                self._ask(net)
        self._was_online = self.online

    def _hello(self, node: int, path: Path) -> None:
        path.last_send = time.monotonic()
        self._send_by(path, node, {"k": "hello", **self._introduction(), "t": path.last_send})

    def _introduction(self) -> Json:
        return {"identity": self.identity.public_text, "v": VERSION}

    def _introduce(self, one: int, other: int) -> None:
        """As a root: tell two nodes that talk through this one where the other is."""
        now = time.monotonic()
        pair = (min(one, other), max(one, other))
        if now - self._introduced.get(pair, -_INTRODUCE_EVERY) < _INTRODUCE_EVERY:
            return
        self._introduced[pair] = now
        for node, about in (pair, pair[::-1]):
            for path in self.peers[about].paths.values() if about in self.peers else ():
                if path.alive(now):
                    where = {"node": f"{about:010x}", "at": str(path.address)}
                    self.send(node, {"k": "rendezvous", **where})

    # -- messages --------------------------------------------------------------------------------------

    def send(self, node: int, content: Json) -> None:
        """Send a message by the best way there is; without one it is lost, as a packet would be."""
        data = wire.message(node, self.address, content)
        if node == self.address:
            self.switch.inbox.put(Message(None, (), data))
            return
        path = self.path_to(node)
        if path is not None:
            self._send_raw(path, data)

    def _send_by(self, path: Path, node: int, content: Json) -> None:
        self._send_raw(path, wire.message(node, self.address, content))

    def _send_raw(self, path: Path, data: bytes) -> None:
        try:
            path.link.socket.sendto(data, path.endpoint)
        except OSError as error:
            log.debug("%s: %s", path.address, error)

    def _receive(self, event: Message) -> None:
        header = wire.header(event.data)
        content = wire.content(event.data)
        if header is None:
            return
        kind, source = content.get("k"), header.source
        if event.link is not None and header.hops == 0 and self.links.is_open(event.link):
            self._receive_direct(event.link, event.sender, source, content)
        if kind == "rendezvous":
            self._on_rendezvous(content)
        elif kind == "netconf-request":
            self.controller.request(int(content["nw"], 16), source, content)
        elif kind in ("netconf", "netconf-error"):
            self._on_config(source, content)
        elif kind == "like":
            self._on_like(source, content)
        elif kind == "moon-request":
            self._on_moon_request(source, int(content["id"], 16))
        elif kind == "moon" and (found := world.parse(to_str(content["moon"]))) is not None:
            self._on_moon(found, to_str(content["moon"]))

    def _receive_direct(self, link: Link, sender: Endpoint, source: int, content: Json) -> None:
        """What a datagram that came by no root says about its path."""
        now = time.monotonic()
        kind = content.get("k")
        if kind not in ("hello", "ok"):
            return
        peer = self.peers.setdefault(source, Peer(source))
        peer.identity = identity.parse(to_str(content.get("identity"))) or peer.identity
        major, minor, revision = content.get("v", (-1, -1, -1))
        peer.version = (to_int(major), to_int(minor), to_int(revision))
        path = peer.path(link, sender[:2])
        if kind == "hello":
            answer = {"k": "ok", **self._introduction(), "t": content["t"], "you": str(path.address)}
            self._send_by(path, source, answer)
            if not path.alive(now) and now - path.last_send > _HELLO_WAITING / 2:
                self._hello(source, path)  # only an answer to our own proves that both ways work
            return
        path.last_receive = now
        path.latency = now - float(content["t"])
        if peer.stable:
            self.surface[link] = to_str(content["you"])
        if peer.choose(now):
            self.switch.forget()

    def _on_rendezvous(self, content: Json) -> None:
        node, at = int(content["node"], 16), to_str(content["at"])
        host, _, port = at.partition("/")
        peer = self.peers.setdefault(node, Peer(node))
        for link in self.links.by_address.values():
            if (link.version == 6) == (":" in host):
                path = peer.path(link, (host, int(port)))
                if not path.alive(time.monotonic()):
                    self._hello(node, path)

    def _on_config(self, source: int, content: Json) -> None:
        net = self.switch.networks.get(int(content["nw"], 16))
        if net is None or source != net.controller:
            return
        if content["k"] == "netconf":
            self.home.save_network_config(net.nwid, content["conf"])
            self._configure(net, content["conf"])
            return
        net.status = network.NOT_FOUND if content["code"] == "not-found" else network.DENIED
        self.switch.forget()

    def _on_like(self, source: int, content: Json) -> None:
        net = self.switch.networks.get(int(content["nw"], 16))
        if net is None or source not in net.config.members:
            return
        is_new = source not in net.subscribers
        net.subscribers[source] = frozenset(network.parse_group(text) for text in content["groups"])
        if is_new:
            net.likes_sent.pop(source, None)
            self._like(net)

    def _on_moon_request(self, source: int, number: int) -> None:
        text = self.home.read(f"moons.d/{number:016x}.moon")
        if text:
            self.send(source, {"k": "moon", "moon": text})

    def _on_moon(self, found: World, text: str) -> None:
        if self.waiting_moons.pop(found.id, None) is not None:
            self.home.write(f"moons.d/{found.file_name}", text)
            self._adopt(found)

    def physical_addresses(self) -> list[Inet]:
        """Where this node can be reached, as far as it knows."""
        return [Inet(link.where.ip, 0) for link in self.links.by_address.values()]
