"""What really passes a network interface: ICMP of both families, after address translation."""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

# Linux's, which Python's socket module does not name: linux/if_packet.h, linux/if_ether.h, asm/socket.h.
ETH_P_ALL, OUTGOING = 3, 4
SOL_PACKET, ADD_MEMBERSHIP, ALLMULTI = 263, 1, 2
SO_ATTACH_FILTER = 26
# A busy gateway's other packets would push these out of the socket's buffer: a BPF program (code, jump if
# true, jump if false, operand) that takes IPv4 with protocol 1 and IPv6 with next header 58.
FILTER = (
    (0x30, 0, 0, 0), (0x54, 0, 0, 0xF0), (0x15, 0, 2, 0x40),
    (0x30, 0, 0, 9), (0x15, 3, 4, 1),
    (0x15, 0, 3, 0x60), (0x30, 0, 0, 6), (0x15, 0, 1, 58),
    (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
)  # fmt: skip
ECHO, REPLY, SOLICITATION, ADVERTISEMENT = "echo request", "echo reply", "solicitation", "advertisement"
KINDS4 = {8: ECHO, 0: REPLY}
KINDS6 = {128: ECHO, 129: REPLY, 135: SOLICITATION, 136: ADVERTISEMENT}


@dataclass(frozen=True)
class Packet:
    """An ICMP packet; subject is the address that neighbour discovery asks about."""

    outgoing: bool
    kind: str
    source: str
    target: str
    subject: str = ""
    payload: bytes = b""


def parse(data: bytes, outgoing: bool) -> Packet | None:
    """From an IP packet's bytes; None for what nobody here looks for."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        start = (data[0] & 15) * 4
        kind = KINDS4.get(data[start]) if data[9] == 1 and len(data) >= start + 8 else None
        source, target = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        return Packet(outgoing, kind, str(source), str(target), "", data[start + 8 :]) if kind else None
    if len(data) >= 48 and data[0] >> 4 == 6 and data[6] == 58:
        kind = KINDS6.get(data[40])
        ends = str(IPv6Address(data[8:24])), str(IPv6Address(data[24:40]))
        if kind in (SOLICITATION, ADVERTISEMENT) and len(data) >= 64:
            return Packet(outgoing, kind, *ends, str(IPv6Address(data[48:64])))
        return Packet(outgoing, kind, *ends, "", data[48:]) if kind in (ECHO, REPLY) else None
    return None


class Wire:
    """An interface that is listened to while this is open."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)

    def __enter__(self) -> Wire:
        program = b"".join(struct.pack("HBBI", *step) for step in FILTER)
        held = ctypes.create_string_buffer(program)
        wanted = struct.pack("HP", len(FILTER), ctypes.addressof(held))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, wanted)
        self._socket.bind((self._interface, ETH_P_ALL))
        # Questions for an address that nobody here answers for would not get past the network card.
        member = struct.pack("iHH8s", socket.if_nametoindex(self._interface), ALLMULTI, 0, b"")
        self._socket.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, member)
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def seen(self) -> list[Packet]:
        """What has passed since this was opened, or asked last."""
        found: list[Packet] = []
        while True:
            try:
                data, sender = self._socket.recvfrom(65535)
            except BlockingIOError:
                return found
            if packet := parse(data, sender[2] == OUTGOING):
                found.append(packet)
