"""Addresses that follow from a network id and a node id.

Source: ZeroTierOne 1.14.1, node/InetAddress.cpp, node/MAC.hpp, osdep/LinuxEthernetTap.cpp and
controller/EmbeddedNetworkController.cpp.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def interface(network: str) -> str:
    """Name of the tap device on Linux, unless another one has taken it."""
    number = int(network, 16)
    bits = (number ^ (number >> 24)) & 0xFFFFFFFFFF
    return "zt" + "".join(_BASE32[(bits >> shift) & 31] for shift in range(35, -1, -5))


def mac(network: str, node: str) -> str:
    """The node's MAC address on a network."""
    octets = bytes.fromhex(network)
    first = octets[7] & 0xFE | 2
    # KVM's taps begin with 52.
    mixed = (a ^ b for a, b in zip(bytes.fromhex(node), octets[6:1:-1], strict=True))
    return ":".join(f"{octet:02x}" for octet in (0x32 if first == 0x52 else first, *mixed))


def rfc4193(network: str, node: str) -> IPv6Address:
    """The node's address of ZeroTier's RFC 4193 scheme, a /88."""
    return IPv6Address(b"\xfd" + bytes.fromhex(network) + b"\x99\x93" + bytes.fromhex(node))


def rfc4193_range(network: str) -> IPv6Network:
    """The /88 that holds every node's address of that scheme."""
    return IPv6Network((int(rfc4193(network, "0" * 10)), 88))


def member_address(subnet: IPv6Network, node: str) -> IPv6Address:
    """The controller's first choice for a node in a pool that is a whole /80: its start plus the node id."""
    return subnet[int(node, 16)]


def subnet_of(prefix: IPv6Network, group: int) -> IPv6Network:
    """The /80 of a prefix's first /64 whose fifth group is this."""
    return IPv6Network((int(prefix.network_address) | group << 48, 80))


def node_of(lladdr: str, own_lladdr: str, own: str) -> str:
    """The node that has a MAC address: in one network, both differ from ours by the same bits."""
    theirs, ours = (int(text.replace(":", ""), 16) & 0xFFFFFFFFFF for text in (lladdr, own_lladdr))
    return f"{theirs ^ ours ^ int(own, 16):010x}"


def lan(network: str, taken: list[IPv4Network]) -> IPv4Network:
    """A /24 of 10.0.0.0/8 for a network that has none: always the same one, clear of those in use."""
    number = int(network, 16)
    for step in range(65536):
        # Any bits will do; the sum spreads networks of one controller, whose ids differ in the low 24 bits.
        low = ((number >> 40) + number + step) % 65536
        candidate = IPv4Network((10 << 24 | low << 8, 24))
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise ValueError("all of 10.0.0.0/8 is in use")
