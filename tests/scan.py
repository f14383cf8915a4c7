"""A port scanner that misses nothing: whatever the gateway says in answer to a packet to each port counts.

It goes on only when the gateway has answered an echo request behind the last few hundred packets: those have
been there, or are sent again. So silence is a firewall's, and no lost packet's. Where one is let in, there is
an answer even if nobody listens: a reset by TCP, ICMP for UDP (which the kernel gives out six times, and then
once a second, unless that limit is lifted).
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from lab.errors import LabError
from tests.wire import Wire

# What is expected.
DOORS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("doors.yaml").read_text())
EVERY = range(1, 65536)
BURST = 200  # packets; fewer than any queue on the way holds
PATIENCE = 3.0  # seconds for an echo; an emulated machine takes a while
TRIES = 5
LATE = 0.3  # seconds for what comes from behind the gateway
ETHERNET = 14
LENGTHS = {4: 20, 6: 40}  # bytes of the headers that we send
# Type and code of ICMP.
NOBODY_LISTENS = {4: (3, 3), 6: (1, 4)}
ECHO_REPLY = {4: 0, 6: 129}
ICMPS = {4: 1, 6: 58}
SYN_ACK, RESET = 0x12, 0x04


@dataclass(frozen=True)
class Seat:
    """Where one asks from, and who is asked: cable, the next hop's MAC address, source and destination.

    echo: who answers echo requests, when the target itself does not.
    """

    wire: Wire
    mac: str
    source: str
    target: str
    echo: str = ""

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.target else 4

    def packet(self, **options: Any) -> Packet:
        """The headers so far."""
        kind = IPv6 if self.family == 6 else IP
        ends: dict[str, Any] = {"src": self.source, "dst": self.target, **options}
        return Ether(src=self.wire.mac, dst=self.mac) / kind(**ends)


def ports(
    seat: Seat,
    protocol: str,
    source_port: int = 40000,
    flags: str = "S",
    which: Iterable[int] = EVERY,
    late: float = LATE,
) -> dict[int, str]:
    """Every port from which anything came back, and what: open, closed, answers, or refused on the way."""
    template = bytearray(_template(seat, protocol, source_port, flags))
    start = ETHERNET + LENGTHS[seat.family]
    word = start + (6 if protocol == "tcp" else 8)  # of the sequence number, or of the content
    found: dict[int, str] = {}
    rest = iter(which)
    for number, batch in enumerate(iter(lambda: list(islice(rest, BURST)), [])):
        frames = []
        for port in batch:
            # Both together are always the same, and so is the checksum.
            struct.pack_into("!H", template, start + 2, port)
            struct.pack_into("!H", template, word, 0xFFFF - port)
            frames.append(bytes(template))
        for frame in surely(seat, frames, number):
            found.update(_answer(frame, seat, protocol, source_port))
    for frame in seat.wire.heard(late):
        found.update(_answer(frame, seat, protocol, source_port))
    return found


def answers(seat: Seat, packet: Packet, patience: float = 0) -> list[Packet]:
    """What the gateway says to a packet. Our own echoes and questions for a MAC address are no answers."""
    heard = [*surely(seat, [bytes(packet)]), *(seat.wire.heard(patience) if patience else ())]
    parsed = [Ether(frame) for frame in heard]
    said = [each for each in parsed if each.src == seat.mac and (IP in each or IPv6 in each)]
    # The hosts' kernels look now and then whether the other one is still there.
    own = [each for each in said if ICMPv6ND_NS not in each]
    return [each for each in own if ICMPv6ND_NA not in each or each[ICMPv6ND_NA].tgt == seat.target]


def _template(seat: Seat, protocol: str, source_port: int, flags: str) -> bytes:
    if protocol == "tcp":
        return bytes(seat.packet() / TCP(sport=source_port, dport=0, seq=0xFFFF, flags=flags))
    return bytes(seat.packet() / UDP(sport=source_port, dport=0) / Raw(b"\xff\xff"))


def surely(seat: Seat, frames: Iterable[bytes], number: int = 0) -> list[bytes]:
    """Send frames until they have arrived; everything that came in meanwhile but the echo that proves it."""
    frames, heard = list(frames), []
    for attempt in range(TRIES):
        identity = (number * TRIES + attempt) & 0xFFFF
        for frame in frames:
            seat.wire.send(frame)
        seat.wire.send(_echo(seat, identity))
        for frame in seat.wire.heard(PATIENCE):
            if _is_echo(frame, seat, identity):
                heard += list(seat.wire.heard(0))
                if seat.wire.lost():
                    raise LabError("more answers than the scanner's buffer holds")
                return heard
            heard.append(frame)
    raise LabError(f"{seat.target} does not answer echo requests: nobody knows what has arrived there")


def _echo(seat: Seat, number: int) -> bytes:
    kind = ICMPv6EchoRequest if seat.family == 6 else ICMP
    return bytes(replace(seat, target=seat.echo or seat.target).packet() / kind(id=0x5CA9, seq=number))


def _is_echo(frame: bytes, seat: Seat, number: int) -> bool:
    found = _inside(frame, seat.family)
    if found is None or found[0] != socket.inet_pton(_af(seat.family), seat.echo or seat.target):
        return False
    _, protocol, content = found
    head = struct.pack("!BB", ECHO_REPLY[seat.family], 0)
    return (
        protocol == ICMPS[seat.family]
        and content[:2] == head
        and content[4:8] == struct.pack("!HH", 0x5CA9, number)
    )


def _inside(frame: bytes, family: int) -> tuple[bytes, int, bytes] | None:
    """Source, protocol and content of an IP packet of the family; options are skipped, extensions are not."""
    packet = frame[ETHERNET:]
    if family == 4 and frame[12:14] == b"\x08\x00" and len(packet) >= 20:
        return packet[12:16], packet[9], packet[(packet[0] & 15) * 4 :]
    if family == 6 and frame[12:14] == b"\x86\xdd" and len(packet) >= 40:
        return packet[8:24], packet[6], packet[40:]
    return None


def _answer(frame: bytes, seat: Seat, protocol: str, source_port: int) -> Iterator[tuple[int, str]]:
    found = _inside(frame, seat.family)
    if found is None:
        return
    source, kind, content = found
    number = socket.IPPROTO_TCP if protocol == "tcp" else socket.IPPROTO_UDP
    if kind == number and source == socket.inet_pton(_af(seat.family), seat.target):
        port, ours = struct.unpack("!HH", content[:4])
        if ours == source_port:
            yield port, _tcp(content[13]) if protocol == "tcp" else "answers"
    elif kind == ICMPS[seat.family] and content[0] == NOBODY_LISTENS[seat.family][0]:
        quoted = content[8 + LENGTHS[seat.family] :]
        ours, port = struct.unpack("!HH", quoted[:4])
        if ours == source_port and content[8 + (9 if seat.family == 4 else 6)] == number:
            yield port, "closed" if tuple(content[:2]) == NOBODY_LISTENS[seat.family] else "refused"


def _tcp(flags: int) -> str:
    if flags & SYN_ACK == SYN_ACK:
        return "open"
    return "closed" if flags & RESET else "answers"


def _af(family: int) -> int:
    return socket.AF_INET6 if family == 6 else socket.AF_INET
