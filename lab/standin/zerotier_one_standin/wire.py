"""What travels in UDP between stand-ins: a fixed header, then an Ethernet frame or a JSON message.

    octet 0       0xA1: this format, version 1
    octet 1       verb in the low four bits, hops so far in the high four
    octets 2-6    destination node
    octets 7-11   source node
A frame goes on with the network's id (8 octets), the sender's ticket (8) and what its tap said about
offloading (10, see tap.py). The ticket is a keyed hash of the sender under the network's key, which only
authorised members are given; it is constant for a sender, so a
receiver recognises a whole header, and the Ethernet addresses after it, by one dictionary look-up.
"""

import hmac
import json
import struct
from typing import NamedTuple

from .coerce import Json
from .tap import OFFLOAD_HEADER

MAGIC = 0xA1
VERB_FRAME = 1
VERB_MESSAGE = 2
MAX_HOPS = 3
FRAME_HEADER = 28
LARGEST_FRAME = 65507 - FRAME_HEADER - OFFLOAD_HEADER  # octets; what fits into a UDP datagram
TICKET_SIZE = 8
_START = struct.Struct(">BB5s5s")
MESSAGE_HEADER = _START.size


class Header(NamedTuple):
    """The fixed part of a datagram."""

    verb: int
    hops: int
    destination: int
    source: int


def _node(number: int) -> bytes:
    return number.to_bytes(5, "big")


def frame_header(destination: int, source: int, nwid: int, ticket: bytes) -> bytes:
    """All that goes before an Ethernet frame."""
    start = _START.pack(MAGIC, VERB_FRAME, _node(destination), _node(source))
    return start + nwid.to_bytes(8, "big") + ticket


def message(destination: int, source: int, content: Json) -> bytes:
    """A whole datagram with a JSON message."""
    start = _START.pack(MAGIC, VERB_MESSAGE, _node(destination), _node(source))
    return start + json.dumps(content, separators=(",", ":")).encode()


def header(data: bytes) -> Header | None:
    """Read the fixed part; None if it is not of this format."""
    if len(data) < MESSAGE_HEADER or data[0] != MAGIC:
        return None
    _, verb, destination, source = _START.unpack_from(data)
    return Header(verb & 0x0F, verb >> 4, int.from_bytes(destination, "big"), int.from_bytes(source, "big"))


def content(data: bytes) -> Json:
    """The JSON message in a datagram; empty if it is none."""
    try:
        value = json.loads(data[MESSAGE_HEADER:])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def relayed(data: bytes) -> bytes:
    """The same datagram, one hop further."""
    return data[:1] + bytes([data[1] + 0x10]) + data[2:]


def ticket(network_key: bytes, node: int) -> bytes:
    """A member's proof of membership."""
    return hmac.digest(network_key, _node(node), "sha256")[:TICKET_SIZE]
