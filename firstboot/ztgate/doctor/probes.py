"""Packets that the doctor sends, and what was seen of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ..steps.prove import TARGETS
from .wire import ADVERTISEMENT, ECHO, REPLY, SOLICITATION, Packet, Wire

# Fills our echo requests, so that they are known again behind an address translation.
MARK = b"ztgate-doctor"
# Sizes of IPv4 packets in bytes that paths are known for: Ethernet, PPPoE, IPv6 in IPv4, what ZeroTier's
# largest packet needs, WireGuard, IPv6's minimum, IPv4's.
SIZES = (1500, 1492, 1480, 1460, 1440, 1420, 1400, 1380, 1346, 1280, 576)


class Probe(Protocol):
    """Runs a tool: exit status and output."""

    def __call__(self, *argv: str, timeout: float = ...) -> tuple[int, str]:
        """Run it."""


@dataclass(frozen=True)
class Egress:
    """An echo request from the ZeroTier side: who answered, and (source, target) as it was seen to leave."""

    source: str
    interface: str
    answered: str
    left: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Neighbours:
    """An echo request from an address of members' range, and what the WAN's router asked meanwhile."""

    own: str
    asker: str
    advertised: bool
    replied: bool


def ping(probe: Probe, host: str, *options: str, wait: int = 2) -> bool:
    """Whether a host answers one echo request within `wait` seconds."""
    version = "-6" if ":" in host else "-4"
    argv = ("ping", version, "-n", "-q", "-c", "1", "-W", str(wait), "-p", MARK.hex(), *options, host)
    return probe(*argv)[0] == 0


def first_answer(probe: Probe, hosts: Iterable[str], *options: str) -> str:
    """The first of the hosts that answers; "" when none does."""
    return next((host for host in hosts if ping(probe, host, *options)), "")


def egress(probe: Probe, interface: str, source: str) -> Egress:
    """Ask the internet from a ZeroTier address, and look at the WAN meanwhile."""
    with Wire(interface) as wire:
        answered = first_answer(probe, TARGETS[4], "-I", source)
        return Egress(source, interface, answered, departures(wire.seen(), TARGETS[4]))


def departures(packets: Iterable[Packet], hosts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(source, target) of our own echo requests that left, each once."""
    ours = (
        (packet.source, packet.target)
        for packet in packets
        if packet.outgoing and packet.kind == ECHO and packet.target in hosts and MARK in packet.payload
    )
    return tuple(dict.fromkeys(ours))


def neighbours(probe: Probe, interface: str, own: str) -> Neighbours:
    """Ask the internet from an address of members' range: for the answer the router has to find us."""
    with Wire(interface) as wire:
        first_answer(probe, TARGETS[6], "-I", own)
        return discovery(wire.seen(), own)


def discovery(packets: Iterable[Packet], own: str) -> Neighbours:
    """Who asked for our address, whether it was advertised, and whether a reply came."""
    listed = list(packets)
    asked = [p.source for p in listed if p.kind == SOLICITATION and p.subject == own and not p.outgoing]
    return Neighbours(
        own,
        asker="".join(asked[:1]),
        advertised=any(p.kind == ADVERTISEMENT and p.subject == own and p.outgoing for p in listed),
        replied=any(p.kind == REPLY and p.target == own and not p.outgoing for p in listed),
    )


def largest(passes: Callable[[int], bool], sizes: tuple[int, ...] = SIZES) -> int:
    """The largest of the sizes (descending) that passes, 0 when none does; most paths take the first."""
    if passes(sizes[0]):
        return sizes[0]
    low, high = 1, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if passes(sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return sizes[low] if low < len(sizes) else 0


def path_mtu(probe: Probe, host: str) -> int:
    """Bytes of the largest unfragmented IPv4 packet that a host answers.

    `probe` sends what the interface takes: an estimate of the kernel's may be ten minutes old.
    """
    headers = 28  # bytes of IPv4 and ICMP

    def passes(size: int) -> bool:
        """Twice, as one packet may be lost."""
        options = ("-M", "probe", "-s", str(size - headers))
        return ping(probe, host, *options, wait=1) or ping(probe, host, *options, wait=1)

    return largest(passes)
