"""Names and addresses that follow from a network's id and a node's id, as in the real daemon."""

import ipaddress

from .addresses import Inet

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_TAP_FIRST_OCTET_TAKEN = 0x52  # KVM's taps use it, so ZeroTier takes another
_TAP_FIRST_OCTET_INSTEAD = 0x32


def interface_name(nwid: int, trial: int = 0) -> str:
    """The tap's name: `zt` and the base32 of the low 40 bits of nwid ^ (nwid >> 24), one on per collision."""
    value = ((nwid ^ (nwid >> 24)) + trial) & 0xFFFFFFFFFF
    return "zt" + "".join(_BASE32[(value >> shift) & 31] for shift in range(35, -1, -5))


def _mac_mask(nwid: int) -> int:
    octets = nwid.to_bytes(8, "big")
    return int.from_bytes(bytes([octets[6], octets[5], octets[4], octets[3], octets[2]]), "big")


def _first_octet(nwid: int) -> int:
    first = (nwid & 0xFE) | 0x02
    return _TAP_FIRST_OCTET_INSTEAD if first == _TAP_FIRST_OCTET_TAKEN else first


def mac(nwid: int, node: int) -> bytes:
    """A node's Ethernet address on a network."""
    return bytes([_first_octet(nwid)]) + (node ^ _mac_mask(nwid)).to_bytes(5, "big")


def node_of_mac(nwid: int, address: bytes) -> int | None:
    """The node that an Ethernet address belongs to, if it is one of this network."""
    if address[0] != _first_octet(nwid):
        return None
    return int.from_bytes(address[1:6], "big") ^ _mac_mask(nwid)


def mac_text(address: bytes) -> str:
    """An Ethernet address as people write it."""
    return ":".join(f"{octet:02x}" for octet in address)


def rfc4193(nwid: int, node: int) -> Inet:
    """A node's private IPv6 address: fd, the network, 9993, the node."""
    raw = b"\xfd" + nwid.to_bytes(8, "big") + b"\x99\x93" + node.to_bytes(5, "big")
    return Inet(ipaddress.IPv6Address(raw), 88)


def sixplane(nwid: int, node: int) -> Inet:
    """A node's 6PLANE address: fc, the folded network, the node, ::1."""
    folded = (nwid ^ (nwid >> 32)) & 0xFFFFFFFF
    raw = b"\xfc" + folded.to_bytes(4, "big") + node.to_bytes(5, "big") + bytes(5) + b"\x01"
    return Inet(ipaddress.IPv6Address(raw), 40)


def emulated_node(nwid: int, target: bytes) -> int | None:
    """The node whose RFC 4193 or 6PLANE address (16 bytes) this is, on this network."""
    if target[:11] == b"\xfd" + nwid.to_bytes(8, "big") + b"\x99\x93":
        return int.from_bytes(target[11:16], "big")
    folded = (nwid ^ (nwid >> 32)) & 0xFFFFFFFF
    if target[:5] == b"\xfc" + folded.to_bytes(4, "big"):
        return int.from_bytes(target[5:10], "big")
    return None
