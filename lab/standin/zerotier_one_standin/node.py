"""The control thread: joins networks and keeps them configured, and answers what other nodes send."""

import logging
import queue
import select
import threading
import time
from collections.abc import Callable, Iterable

from . import VERSION, config, network, wire, world
from .coerce import Json, to_str
from .controller import Controller
from .errors import StandinError
from .home import Home
from .links import Links
from .netlink import Netlink
from .network import Network
from .paths import Paths
from .schedule import Schedule
from .switch import Message, Met, Switch
from .world import World

log = logging.getLogger(__name__)

_ASK_WAITING, _ASK_DENIED, _ASK_SETTLED = 1.0, 5.0, 60.0  # seconds between requests for a configuration
_LIKE_WAITING, _LIKE_SETTLED = 2.0, 20.0  # and between telling a member what this node listens to


class Node:
    """This node. Everything here happens under `lock`, except what the data path reads."""

    def __init__(self, home: Home, port: int, blacklist: Iterable[str]) -> None:
        self.home = home
        self.identity = home.identity()
        self.address = self.identity.address
        self.lock = threading.RLock()
        self.waiting_moons: dict[int, int] = {}  # world id -> node to ask
        poll = select.epoll()
        self.paths = Paths(self.identity, Links(port, blacklist, poll), lambda: self.switch.forget())
        self.switch = Switch(self.paths, poll)
        self.paths.to_self = lambda data: self.switch.inbox.put(Message(None, (), data))
        self.controller = Controller(self.address, home, self.paths.send)
        self._kernel = Netlink()
        self._schedule = Schedule(
            (
                (2.0, self.paths.scan_links),
                (0.5, self.paths.hello_all),
                (5.0, self.paths.check_online),
                (0.5, self._ask_all),
                (5.0, self._scan_groups),
                (1.0, self._like_all),
                (30.0, self._sync_all),
                (5.0, self._ask_for_moons),
            )
        )
        for each in home.worlds():
            self.paths.adopt(each)

    # -- life ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Do the control thread's work until stop()."""
        with self.lock:
            for nwid in self.home.networks():
                self._join_again(nwid)
        while True:
            event: Message | Met | None
            try:
                event = self.switch.inbox.get(timeout=self._schedule.pause())
                if event is None:
                    return
            except queue.Empty:
                event = None
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

    # -- networks --------------------------------------------------------------------------------------

    def join(self, nwid: int) -> Network:
        """Join a network, or return the one joined before."""
        if nwid in self.switch.networks:
            return self.switch.networks[nwid]
        saved = self.home.network_config(nwid)
        self.home.save_network_config(nwid, saved)
        settings, name = self.home.settings(nwid), self.home.device_name(nwid)
        net = Network(nwid, self.address, name, settings, self._kernel)
        net.last_request = time.monotonic()
        self.switch.attach(net)
        if saved:
            self._configure(net, saved)
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
        net.sync(self.paths.online)

    def _join_again(self, nwid: int) -> None:
        try:
            self.join(nwid)
        except StandinError as error:
            log.error("unable to configure virtual network port: %s", error)

    def _configure(self, net: Network, raw: Json) -> None:
        net.configure(config.parse(raw))
        net.sync(self.paths.online)
        self.switch.forget()
        self._scan_groups_of(net)
        self._like(net)

    # -- work done again and again ---------------------------------------------------------------------

    def _ask_all(self) -> None:
        """Ask the controllers for configurations; one from the last run is asked for anew.

        That happens before the node counts as online, so that the answer does not set a default route: it
        takes until the next look at the routes, as in the real daemon. A first answer comes after that.
        """
        now = time.monotonic()
        pauses = {network.REQUESTING: _ASK_WAITING, network.OK: _ASK_SETTLED}
        for net in self.switch.networks.values():
            pause = pauses.get(net.status, _ASK_DENIED) if net.answered else _ASK_WAITING
            if net.status == network.REQUESTING and not self.paths.online:
                continue
            if now - net.last_request >= pause:
                net.last_request = now
                content = {"k": "netconf-request", "nw": f"{net.nwid:016x}", "v": VERSION}
                self.paths.send(net.controller, {**content, "identity": self.identity.public_text})

    def _scan_groups(self) -> None:
        for net in self.switch.networks.values():
            self._scan_groups_of(net)

    def _scan_groups_of(self, net: Network) -> None:
        if net.scan_groups():
            net.likes_sent.clear()

    def _like_all(self) -> None:
        for net in self.switch.networks.values():
            self._like(net)

    def _like(self, net: Network) -> None:
        """Tell the members what this node listens to, and ask those of whom that is not known."""
        now = time.monotonic()
        groups = [group.text for group in sorted(net.groups)]
        for node in net.config.members if net.status == network.OK else ():
            known = node in net.subscribers
            pause = _LIKE_SETTLED if known else _LIKE_WAITING
            if node != self.address and now - net.likes_sent.get(node, float("-inf")) >= pause:
                content = {"k": "like", "nw": f"{net.nwid:016x}", "groups": groups, "ask": not known}
                if self.paths.send(node, content):
                    net.likes_sent[node] = now

    def _sync_all(self) -> None:
        for net in self.switch.networks.values():
            net.sync(self.paths.online)

    def _ask_for_moons(self) -> None:
        for number, seed in self.waiting_moons.items():
            self.paths.send(seed, {"k": "moon-request", "id": f"{number:016x}"})

    # -- messages --------------------------------------------------------------------------------------

    def _handle(self, event: Message | Met | None) -> None:
        if isinstance(event, Met):
            self.paths.introduce(event.one, event.other)
        elif event is not None:
            try:
                self._receive(event)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("a message that makes no sense was ignored: %r", error)

    def _receive(self, event: Message) -> None:
        header, content = wire.header(event.data), wire.content(event.data)
        if header is None:
            return
        kind, source, link = content.get("k"), header.source, event.link
        if kind in ("hello", "ok"):
            # Through a root they would say nothing about the path.
            if link is not None and header.hops == 0 and self.paths.links.is_open(link):
                receive = self.paths.on_hello if kind == "hello" else self.paths.on_ok
                receive(link, event.sender, source, content)
            return
        handlers: dict[str, Callable[[int, Json], None]] = {
            "rendezvous": lambda _, content: self.paths.on_rendezvous(content),
            "netconf-request": self._on_request,
            "netconf": self._on_config,
            "netconf-error": self._on_refusal,
            "like": self._on_like,
            "moon-request": self._on_moon_request,
            "moon": self._on_moon,
        }
        handlers[to_str(kind)](source, content)

    def _on_request(self, source: int, content: Json) -> None:
        self.controller.request(int(content["nw"], 16), source, content)

    def _asked_for(self, source: int, content: Json) -> Network | None:
        """The network that a controller's message is about, if it is the right controller."""
        net = self.switch.networks.get(int(content["nw"], 16))
        if net is None or source != net.controller:
            return None
        net.answered = True
        return net

    def _on_config(self, source: int, content: Json) -> None:
        net = self._asked_for(source, content)
        if net is not None:
            self.home.save_network_config(net.nwid, content["conf"])
            self._configure(net, content["conf"])

    def _on_refusal(self, source: int, content: Json) -> None:
        net = self._asked_for(source, content)
        if net is not None:
            net.status = network.NOT_FOUND if content["code"] == "not-found" else network.DENIED
            self.switch.forget()

    def _on_like(self, source: int, content: Json) -> None:
        net = self.switch.networks.get(int(content["nw"], 16))
        if net is None or source not in net.config.members:
            return
        net.subscribers[source] = frozenset(network.parse_group(text) for text in content["groups"])
        if content["ask"]:
            net.likes_sent.pop(source, None)
            self._like(net)

    # -- moons -----------------------------------------------------------------------------------------

    def forget_moon(self, number: int) -> None:
        """Stop using a moon."""
        self.waiting_moons.pop(number, None)
        self.paths.abandon(number)
        (self.home.path / "moons.d" / f"{number:016x}.moon").unlink(missing_ok=True)

    def _on_moon_request(self, source: int, content: Json) -> None:
        text = self.home.read(f"moons.d/{int(content['id'], 16):016x}.moon")
        if text:
            self.paths.send(source, {"k": "moon", "moon": text})

    def _on_moon(self, _: int, content: Json) -> None:
        text = to_str(content["moon"])
        found: World | None = world.parse(text)
        if found is not None and self.waiting_moons.pop(found.id, None) is not None:
            self.home.write(f"moons.d/{found.file_name}", text)
            self.paths.adopt(found)
