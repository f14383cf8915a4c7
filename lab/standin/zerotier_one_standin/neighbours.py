"""Neighbour discovery answered at home: who has an RFC 4193 or 6PLANE address follows from the address."""

import struct

from . import derive

_ETHERTYPE_IPV6 = b"\x86\xdd"
_ICMPV6 = 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOLICITED_OVERRIDE = 0x60000000
_NS_FRAME_SIZE = 14 + 40 + 24
_UNSPECIFIED = bytes(16)


def answer(nwid: int, frame: bytes) -> bytes | None:
    """The advertisement for a solicitation frame, if its target is an address that says whose it is."""
    if len(frame) < _NS_FRAME_SIZE or frame[12:14] != _ETHERTYPE_IPV6:
        return None
    if frame[20] != _ICMPV6 or frame[54] != _SOLICITATION:
        return None
    asker, target = frame[22:38], frame[62:78]
    node = derive.emulated_node(nwid, target)
    if node is None or asker == _UNSPECIFIED:  # unspecified: duplicate detection, which must find nobody
        return None
    owner = derive.mac(nwid, node)
    return _advertisement(frame[6:12], asker, target, owner)


def _advertisement(to_mac: bytes, to_ip: bytes, target: bytes, owner: bytes) -> bytes:
    body = struct.pack(">BBHI", _ADVERTISEMENT, 0, 0, _SOLICITED_OVERRIDE) + target + b"\x02\x01" + owner
    pseudo = target + to_ip + struct.pack(">II", len(body), _ICMPV6)
    body = body[:2] + struct.pack(">H", _checksum(pseudo + body)) + body[4:]
    ip = struct.pack(">IHBB", 6 << 28, len(body), _ICMPV6, 255) + target + to_ip
    return to_mac + owner + _ETHERTYPE_IPV6 + ip + body


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)
