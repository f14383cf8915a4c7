"""UDP sockets, one for each physical address, tied to its interface.

Tied by SO_BINDTODEVICE, so that the daemon's own packets keep leaving by the physical interface when the
network that it carries has taken over the default route.
"""

import ipaddress
import select
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from . import tap
from .addresses import Inet
from .tap import InterfaceAddress

_NEVER = ("lo", "zt", "tun", "tap")  # interface name prefixes that the real one does not bind to either
_BUFFER = 4 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IP_MTU_DISCOVER, _PMTUDISC_DONT = 10, 0
_IPV6_MTU_DISCOVER = 23
_SEND_PATIENCE = struct.pack("ll", 0, 100_000)  # a full send buffer holds the tap back for 100 ms, then drops

Endpoint = tuple[Any, ...]  # what socket.sendto takes
Receiver = Callable[["Link"], None]


class Link(NamedTuple):
    """An open socket and where it is."""

    where: InterfaceAddress
    socket: socket.socket

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.where.ip.version


def endpoint(address: Inet) -> Endpoint:
    """An address with a port as sendto takes it."""
    return (str(address.ip), address.bits)


def inet(where: Endpoint) -> Inet:
    """The reverse."""
    return Inet(ipaddress.ip_address(where[0].split("%")[0]), where[1])


def _open(where: InterfaceAddress, port: int) -> socket.socket:
    family = socket.AF_INET if where.ip.version == 4 else socket.AF_INET6
    udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, where.interface.encode() + b"\0")
        for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                udp.setsockopt(socket.SOL_SOCKET, forced, _BUFFER)
            except PermissionError:
                udp.setsockopt(socket.SOL_SOCKET, plain, _BUFFER)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_PATIENCE)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            udp.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        udp.bind((str(where.ip), port))
    except OSError:
        udp.close()
        raise
    return udp


class Links:
    """The open sockets; scan() makes them follow the interfaces' addresses."""

    def __init__(self, port: int, blacklist: Iterable[str], poll: select.epoll) -> None:
        self._port = port
        self._refused = (*_NEVER, *blacklist)
        self._poll = poll
        self.by_address: dict[InterfaceAddress, Link] = {}
        self.by_fd: dict[int, Link] = {}

    def _wanted(self) -> set[InterfaceAddress]:
        return {
            each
            for each in tap.interface_addresses()
            if not each.interface.startswith(self._refused)
            and not (each.ip.is_loopback or each.ip.is_link_local or each.ip.is_multicast)
        }

    def scan(self) -> bool:
        """Open and close what has come and gone; whether anything has."""
        wanted = self._wanted()
        gone = [link for where, link in self.by_address.items() if where not in wanted]
        for link in gone:
            self._close(link)
        opened = [self._try_open(where) for where in wanted if where not in self.by_address]
        return bool(gone) or any(opened)

    def _try_open(self, where: InterfaceAddress) -> bool:
        try:
            udp = _open(where, self._port)
        except OSError:
            return False  # not usable yet; the next scan tries again
        link = Link(where, udp)
        self.by_address[where] = link
        self.by_fd[udp.fileno()] = link
        self._poll.register(udp.fileno(), select.EPOLLIN)
        return True

    def _close(self, link: Link) -> None:
        del self.by_address[link.where]
        del self.by_fd[link.socket.fileno()]
        self._poll.unregister(link.socket.fileno())
        link.socket.close()

    def is_open(self, link: Link) -> bool:
        """Whether a link is still among the open ones."""
        return self.by_address.get(link.where) is link

    def listening_on(self) -> list[str]:
        """Every `ip/port` bound."""
        found = sorted((Inet(where.ip, self._port) for where in self.by_address), key=lambda each: each.order)
        return [str(each) for each in found]
