"""Addresses with a length, read and compared the way the real daemon does it."""

import ipaddress
from typing import NamedTuple

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where a managed address may point without allowGlobal: what ZeroTier calls private, shared and
# pseudo-private (never announced on the internet by their owners). Anything else unlisted is global.
_LOCAL_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.2.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
        *(f"{first}.0.0.0/8" for first in (6, 11, 21, 22, 25, 26, 28, 29, 30, 51, 55, 56)),
    )
)
_NEVER_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in ("0.0.0.0/32", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")
)
_NEVER_V6 = tuple(ipaddress.IPv6Network(text) for text in ("::/128", "::1/128", "fe80::/10", "ff00::/8"))
_LOCAL_V6 = ipaddress.IPv6Network("fc00::/7")


class Inet(NamedTuple):
    """An IP address and the number after the slash: a prefix length, or a port where one is meant."""

    ip: IP
    bits: int

    def __str__(self) -> str:
        return f"{self.ip}/{self.bits}"

    @property
    def width(self) -> int:
        """Bits in an address of this family."""
        return self.ip.max_prefixlen

    @property
    def is_default(self) -> bool:
        """Whether this is 0.0.0.0/0 or ::/0."""
        return self.bits == 0 and int(self.ip) == 0

    @property
    def order(self) -> tuple[int, int, int]:
        """A sort key across both families."""
        return self.ip.version, int(self.ip), self.bits

    def contains(self, ip: IP) -> bool:
        """Whether ip is inside, with the real one's flaw: IPv6 prefixes with host bits contain nothing."""
        if ip.version != self.ip.version:
            return False
        if self.bits == 0 and ip.version == 4:
            return True
        shift = max(self.width - self.bits, 0)
        masked = int(ip) >> shift << shift
        own = int(self.ip) if ip.version == 6 else int(self.ip) >> shift << shift
        return masked == own


def parse(text: str) -> Inet | None:
    """Read `ip` or `ip/number`; a missing number is 0, rubbish with a dot or colon is the zero address."""
    host, _, number = text.partition("/")
    digits = "".join(c for c in number if c.isdigit())
    bits = int(digits) & 0xFFFF if digits else 0
    kind = ipaddress.IPv6Address if ":" in host else ipaddress.IPv4Address if "." in host else None
    if kind is None:
        return None
    try:
        return Inet(kind(host), bits)
    except ValueError:
        return Inet(kind(0), bits)


def is_global(ip: IP) -> bool:
    """Whether an address needs allowGlobal."""
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in (*_LOCAL_V4, *_NEVER_V4))
    return ip not in _LOCAL_V6 and not any(ip in network for network in _NEVER_V6)


def is_never_managed(ip: IP) -> bool:
    """Whether an address is one that a network may never set: loopback, link-local, multicast, none."""
    if isinstance(ip, ipaddress.IPv4Address):
        return any(ip in network for network in _NEVER_V4)
    return any(ip in network for network in _NEVER_V6)


def halves(target: Inet) -> tuple[Inet, ...]:
    """A default route as its two halves, which win over the physical default; anything else as it is."""
    if target.bits != 0:
        return (target,)
    kind = type(target.ip)
    return Inet(kind(0), 1), Inet(kind(1 << (target.width - 1)), 1)
