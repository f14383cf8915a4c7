"""How a prefix reaches this machine: seen by pinging the internet from an address of it.

The router either asks for that address by neighbour solicitation (the prefix is on-link), or it sends the
answer without asking (the prefix is routed here), or no answer comes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from ..errors import WaitingError

ON_LINK, ROUTED, FILTERED, DOWN = "on-link", "routed", "filtered", "down"
NEIGHBOUR_SOLICITATION = 135  # RFC 4861, 4.3
ICMP6_FILTER = 1  # linux/icmpv6.h
ATTEMPTS = 3  # a router may lose the packet for which it had to ask

Probe = Callable[[Sequence[str]], tuple[int, str]]


@dataclass(frozen=True)
class Seen:
    """answered: the internet, to an address of the prefix. own_answered: to the WAN's own address."""

    solicited: bool
    answered: bool
    own_answered: bool


def verdict(seen: Seen) -> str:
    """What that means."""
    if seen.answered:
        return ON_LINK if seen.solicited else ROUTED
    return FILTERED if seen.own_answered else DOWN


class Listener(Protocol):
    """Hears neighbour solicitations as long as it is open."""

    def heard(self) -> set[IPv6Address]:
        """The addresses that were asked for since the last call."""

    def close(self) -> None:
        """Hear no more."""


class Solicitations:
    """A raw ICMPv6 socket on one interface. The kernel delivers what is sent to groups that it has joined."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        try:
            self._listen_to(interface)
        except OSError as error:
            self._socket.close()
            raise WaitingError(f"cannot listen on {interface}: {error.strerror}") from None

    def _listen_to(self, interface: str) -> None:
        blocked = [0xFFFFFFFF] * 8
        blocked[NEIGHBOUR_SOLICITATION >> 5] &= ~(1 << (NEIGHBOUR_SOLICITATION & 31))
        self._socket.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *blocked))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self._socket.setblocking(False)

    def heard(self) -> set[IPv6Address]:
        """The targets in the packets that have come (RFC 4861, 4.3: bytes 8 to 24)."""
        found: set[IPv6Address] = set()
        while True:
            try:
                packet = self._socket.recv(2048)
            except BlockingIOError:
                return found
            if len(packet) >= 24:
                found.add(IPv6Address(packet[8:24]))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def address_for(subnet: IPv6Network, number: int) -> IPv6Address:
    """An address of the /80 that no member has, and that no router has met before.

    Members' host parts are their 40-bit node ids. A router that still remembers an address would not ask for
    it, and the prefix would be taken for a routed one: so each probe takes another number, of 32 bits.
    """
    return subnet[0xDEAD << 32 | number & 0xFFFFFFFF]


def look(
    probe: Probe,
    interface: str,
    address: IPv6Address,
    own: Sequence[IPv6Address],
    hosts: Sequence[str],
    listen: Callable[[str], Listener] = Solicitations,
) -> Seen:
    """Ping from the address, and from the WAN's own ones if nobody answers; leaves nothing behind.

    The address is on the loopback interface meanwhile, deprecated, so that nothing else is sent from it, and
    in the kernel's proxy table, so that whoever asks for it is answered.
    """
    held = (f"{address}/128", "dev", "lo")
    proxied = ("proxy", str(address), "dev", interface)
    listener = listen(interface)
    try:
        probe(("ip", "-6", "address", "add", *held, "preferred_lft", "0"))
        probe(("ip", "-6", "neigh", "add", *proxied))
        answered = any(_answers(probe, str(address), host) for _ in range(ATTEMPTS) for host in hosts)
        solicited = address in listener.heard()
    finally:
        probe(("ip", "-6", "neigh", "del", *proxied))
        probe(("ip", "-6", "address", "del", *held))
        listener.close()
    own_answered = not answered and any(_answers(probe, str(o), host) for o in own[:1] for host in hosts)
    return Seen(solicited, answered, own_answered)


def _answers(probe: Probe, source: str, host: str) -> bool:
    return probe(("ping", "-6", "-n", "-q", "-c", "1", "-W", "1", "-I", source, host))[0] == 0
