"""The data path: taps to UDP and back, in one thread and with as little Python for a frame as possible.

The two tables are filled by the slow path at a flow's first frame and emptied whenever anything that they
were made from changes. One look-up then stands for all checks: in `_out` the frame's two Ethernet addresses
say that the sender is this node and which socket, header and address to use; in `_in` the datagram's header
and the two addresses say that the sender is a member, that the frame is its own, and where to write it.
"""

import logging
import os
import queue
import select
import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

from . import derive, neighbours, network, tap, wire
from .links import Endpoint, Link, Links
from .network import Network
from .peers import Path

log = logging.getLogger(__name__)

_BURST = 64  # frames taken from one descriptor before another gets its turn
_DATAGRAM = 65536
_TABLE_LIMIT = 8192
# A read from a tap, and a datagram after its header, begin with 10 octets about offloading, then the two
# Ethernet addresses of 6 octets each.
_TO, _AFTER = tap.OFFLOAD_HEADER, tap.OFFLOAD_HEADER + 12
_WIRE_TO, _WIRE_AFTER = wire.FRAME_HEADER + _TO, wire.FRAME_HEADER + _AFTER
_ETHERNET_HEADER = 14


class Message(NamedTuple):
    """A datagram for the control thread; without a link it is this node talking to itself."""

    link: Link | None
    sender: Endpoint
    data: bytes


class Met(NamedTuple):
    """Two nodes that talk through this root and might talk directly."""

    one: int
    other: int


class Router(Protocol):
    """What the data path asks of the control thread's state; read without a lock."""

    address: int

    def path_to(self, node: int) -> Path | None:
        """The path to send by."""

    def is_root(self) -> bool:
        """Whether this node relays."""


class Switch:
    """Moves frames."""

    def __init__(self, router: Router, poll: select.epoll) -> None:
        self.inbox: queue.SimpleQueue[Message | Met | None] = queue.SimpleQueue()
        self.networks: dict[int, Network] = {}
        self._router = router
        self._poll = poll
        self._taps: dict[int, Network] = {}
        self._out: dict[bytes, tuple[Callable[..., int], bytes, Endpoint]] = {}
        self._in: dict[bytes, int] = {}
        self._stopped = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        poll.register(self._wake, select.EPOLLIN)

    def attach(self, net: Network) -> None:
        """Begin to carry a network."""
        self.networks[net.nwid] = net
        self._taps[net.tap.fd] = net
        self._poll.register(net.tap.fd, select.EPOLLIN)

    def detach(self, net: Network) -> None:
        """Stop carrying a network and remove its tap."""
        self._poll.unregister(net.tap.fd)
        del self.networks[net.nwid], self._taps[net.tap.fd]
        self.forget()
        net.tap.close()

    def forget(self) -> None:
        """Empty the tables: something that they were made from has changed."""
        self._out.clear()
        self._in.clear()

    def stop(self) -> None:
        """Make run() return."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def run(self, links: Links) -> None:
        """Carry frames until stopped."""
        while not self._stopped:
            for fd, _ in self._poll.poll():
                link = links.by_fd.get(fd)
                if link is not None:
                    self._drain_link(link)
                elif (net := self._taps.get(fd)) is not None:
                    self._drain_tap(net)

    def _drain_tap(self, net: Network) -> None:
        read, lookup = os.read, self._out.get
        fd, size = net.tap.fd, tap.LARGEST_READ
        try:
            for _ in range(_BURST):
                data = read(fd, size)
                hit = lookup(data[_TO:_AFTER])
                if hit is not None:
                    hit[0](hit[1] + data, hit[2])
                else:
                    self._send_slowly(net, data)
        except OSError:
            return  # nothing more to read, or a frame that could not be sent and is lost

    def _drain_link(self, link: Link) -> None:
        receive, lookup, write = link.socket.recvfrom, self._in.get, os.write
        try:
            for _ in range(_BURST):
                data, sender = receive(_DATAGRAM, socket.MSG_DONTWAIT)
                fd = lookup(data[: wire.FRAME_HEADER] + data[_WIRE_TO:_WIRE_AFTER])
                if fd is not None:
                    write(fd, data[wire.FRAME_HEADER :])
                else:
                    self._receive_slowly(link, sender, data)
        except OSError:
            return

    def _send_slowly(self, net: Network, data: bytes) -> None:
        frame = data[_TO:]
        if frame[6:12] != net.mac or len(frame) < _ETHERNET_HEADER:
            return  # somebody else's frame: there are no bridges here
        if frame[0] & 1:
            self._send_multicast(net, data)
            return
        node = derive.node_of_mac(net.nwid, frame[:6])
        way = self._way(net, node) if node is not None else None
        if way is None:
            return
        if len(self._out) < _TABLE_LIMIT:
            self._out[data[_TO:_AFTER]] = way
        way[0](way[1] + data, way[2])

    def _way(self, net: Network, node: int) -> tuple[Callable[..., int], bytes, Endpoint] | None:
        path = self._router.path_to(node)
        ticket = net.ticket(net.node)
        if path is None or not ticket or not net.ticket(node):
            return None
        return path.link.socket.sendto, wire.frame_header(node, net.node, net.nwid, ticket), path.endpoint

    def _send_multicast(self, net: Network, data: bytes) -> None:
        frame = data[_TO:]
        if net.config.emulate_nd and (reply := neighbours.answer(net.nwid, frame)) is not None:
            os.write(net.tap.fd, tap.NO_OFFLOAD + reply)
            return
        group = network.group_of(frame)
        if group == network.Group(network.BROADCAST) and not net.config.broadcast:
            return
        for node in net.recipients(group):
            way = self._way(net, node)
            if way is not None:
                way[0](way[1] + data, way[2])

    def _receive_slowly(self, link: Link, sender: Endpoint, data: bytes) -> None:
        header = wire.header(data)
        if header is None or header.source == self._router.address:
            return
        if header.destination != self._router.address:
            self._relay(header, data)
        elif header.verb == wire.VERB_MESSAGE:
            self.inbox.put(Message(link, sender, data))
        elif header.verb == wire.VERB_FRAME and len(data) > _WIRE_AFTER:
            self._receive_frame(header, data)

    def _relay(self, header: wire.Header, data: bytes) -> None:
        path = self._router.path_to(header.destination) if self._router.is_root() else None
        if path is not None and header.hops < wire.MAX_HOPS:
            path.link.socket.sendto(wire.relayed(data), path.endpoint)
            self.inbox.put(Met(header.source, header.destination))

    def _receive_frame(self, header: wire.Header, data: bytes) -> None:
        net = self.networks.get(int.from_bytes(data[12:20], "big"))
        ticket = data[20 : wire.FRAME_HEADER]
        if net is None or net.ticket(header.source) != ticket:
            return
        to, source = data[_WIRE_TO : _WIRE_TO + 6], data[_WIRE_TO + 6 : _WIRE_AFTER]
        if source != derive.mac(net.nwid, header.source) or not (to == net.mac or to[0] & 1):
            return
        if len(self._in) < _TABLE_LIMIT:
            self._in[data[: wire.FRAME_HEADER] + data[_WIRE_TO:_WIRE_AFTER]] = net.tap.fd
        os.write(net.tap.fd, data[wire.FRAME_HEADER :])
