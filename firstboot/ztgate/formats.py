"""What values look like: the `format`s of gateway.schema.json, and how they are read."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable

SSH_KEY = re.compile(
    r"(?:^|\s)((?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)"
    r"|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com))\s+([A-Za-z0-9+/]+={0,3})(?:\s|$)"
)
# What `zerotier-idtool generate` writes: address, type, public key, private key.
IDENTITY = re.compile(r"[0-9a-f]{10}:0:[0-9a-f]{128}:[0-9a-f]{128}")
WORLD_ID = re.compile(r"[0-9a-fA-F]{10}")
# RFC 1123's host names; ZeroTier's controller copies a domain into 128 bytes unchecked (1.14.1,
# controller/EmbeddedNetworkController.cpp).
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = re.compile(rf"(?=.{{1,127}}\Z){_LABEL}(?:\.{_LABEL})*")
DS = re.compile(
    r"(?P<zone>\.|(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?)\s+(?:[0-9]{1,10}\s+)?(?:IN\s+)?DS\s+"
    r"(?P<tag>[0-9]{1,5})\s+(?P<algorithm>[0-9]{1,3})\s+(?P<kind>[124])\s+(?P<digest>[0-9A-Fa-f\s]+)",
    re.IGNORECASE,
)
# Hexadecimal digits of a DS record's digest by its type: SHA-1, SHA-256 and SHA-384 (RFC 4034, 4509, 6605).
DIGESTS = {"1": 40, "2": 64, "4": 96}
ALLOW = re.compile(r"(tcp|udp)/([0-9]{1,5})(?:-([0-9]{1,5}))?")
# No place in the internet, though a gateway may have them on its WAN side: RFC 1918, 6598 (a provider's own),
# 3927, 2544, 1122 and 6890; RFC 4193 and 3879.
PRIVATE4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4"),
)
PRIVATE6 = ("fc00::/7", "fec0::/10")
# Where clouds tell a machine's secrets to whoever asks from it, as they document it. Besides link-local
# addresses, which most use: Alibaba, Azure's host, Oracle Classic; Amazon, Google, Oracle, Scaleway, Linode,
# Alibaba.
METADATA4 = ("169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192")
METADATA6 = (
    *("fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1"),
    "fd00:100::100:200",
)
# What somebody may want to reach; link-local addresses are one cable's, or a cloud's metadata service.
REACHABLE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "fc00::/7")

# gateway.name in gateway.schema.json; other members are named like it.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
# What the kernel calls a device, less what would mean something in a configuration.
INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
NODE = re.compile(r"[0-9a-fA-F]{10}")


def is_ipv4(text: str) -> bool:
    """Whether text is an IPv4 address that a host can have."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_loopback or address.is_unspecified)


def is_ipv6_prefix(text: str) -> bool:
    """Whether text is a /48 to /64 of 2000::/3, the range that global addresses come from."""
    try:
        network = ipaddress.IPv6Network(text)
    except ValueError:
        return False
    return 48 <= network.prefixlen <= 64 and network.subnet_of(ipaddress.IPv6Network("2000::/3"))


def parse_allow(text: str) -> tuple[str, int, int] | None:
    """`tcp/22` or `tcp/8000-8100` as (protocol, first port, last port)."""
    match = ALLOW.fullmatch(text)
    if not match:
        return None
    first = int(match[2])
    last = int(match[3] or first)
    return (match[1], first, last) if 0 < first <= last < 65536 else None


def parse_private(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network or an address in REACHABLE; None when it is neither."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    return network if any(_within(network, whole) for whole in REACHABLE) else None


def _within(part: ipaddress.IPv4Network | ipaddress.IPv6Network, whole: str) -> bool:
    other = ipaddress.ip_network(whole)
    if isinstance(part, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and part.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and part.subnet_of(other)


def is_ssh_key(text: str) -> bool:
    """Whether text is one line of an authorized_keys file, options before the key allowed."""
    match = SSH_KEY.search(text)
    if "\n" in text or not match:
        return False
    raw = from_base64(match[2])
    # The key's own first field repeats its type, so a truncated or mistyped key shows.
    return raw is not None and raw[4:].startswith(match[1].encode()) and len(raw) > len(match[1]) + 36


def from_base64(text: str) -> bytes | None:
    """The bytes of a base64 text, white space ignored; None when it is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def is_moon(text: str) -> bool:
    """Whether text is a world id or a moon file in base64."""
    return bool(WORLD_ID.fullmatch(text)) or from_base64(text) is not None


def is_ssid(text: str) -> bool:
    """Whether text is a network name that fits into 32 bytes (IEEE 802.11, 9.4.2.2)."""
    return 0 < len(text.encode()) <= 32


def is_ip(text: str) -> bool:
    """Whether text is an address that a resolver can have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and not (address.is_multicast or address.is_unspecified or address.is_loopback)


def is_domain(text: str) -> bool:
    """Whether text can be the domain of members' names; multicast DNS has taken .local (RFC 6762)."""
    return DOMAIN.fullmatch(text) is not None and text.lower().split(".")[-1] != "local"


def parse_ds(text: str) -> tuple[str, str] | None:
    """A DS record as (zone with its last dot, data); None when it is none."""
    found = DS.fullmatch(text.strip())
    digest = "".join(found["digest"].split()).upper() if found else ""
    if not found or len(digest) != DIGESTS[found["kind"]]:
        return None
    if int(found["tag"]) > 65535 or int(found["algorithm"]) > 255:
        return None
    zone = found["zone"].lower().rstrip(".") + "."
    return zone, f"{int(found['tag'])} {int(found['algorithm'])} {found['kind']} {digest}"


CHECKS: dict[str, Callable[[str], bool]] = {
    "ipv4": is_ipv4,
    "ipv4-or-auto": lambda text: text == "auto" or is_ipv4(text),
    "ipv6-prefix-or-auto": lambda text: text == "auto" or is_ipv6_prefix(text),
    "private-network": lambda text: parse_private(text) is not None,
    "allow-rule": lambda text: parse_allow(text) is not None,
    "ip": is_ip,
    "domain": is_domain,
    "dns-upstream": lambda text: text in ("recursive", "wan") or is_ip(text),
    "ds-record": lambda text: parse_ds(text) is not None,
    "ssh-key": is_ssh_key,
    "ssid": is_ssid,
    "moon": is_moon,
    "base64": lambda text: from_base64(text) is not None,
}
