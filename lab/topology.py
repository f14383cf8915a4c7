"""The drawing: who is where in the virtual world, as data.

    internet 203.0.2.10 ───┐                                     ┌── laptop 203.0.4.10  (a member's home)
    controller 203.0.3.10 ─┼── isp ── wan (bridge) ── gateway    │
                           └──────────────────────────────────────┘── phone  203.0.5.10

The ISP gives the WAN 203.0.1.0/24 by DHCP and 2600:db8:0:1::/64 by router advertisement. That /64 is
on-link: it is not routed to the gateway, so the ISP asks for each address of it by neighbour
solicitation. Addresses are global ones, as ZeroTier and the gateway treat private ones differently.
"""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface


@dataclass(frozen=True)
class Site:
    """A host with one cable to the ISP: its two addresses; the ISP's end has .1 and ::1."""

    name: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface

    @property
    def uplinks(self) -> tuple[str, str]:
        """The ISP's addresses on this cable, with prefix lengths."""
        return (
            f"{self.ipv4.network.network_address + 1}/{self.ipv4.network.prefixlen}",
            f"{self.ipv6.network.network_address + 1}/{self.ipv6.network.prefixlen}",
        )


def _site(name: str, net: int) -> Site:
    return Site(name, IPv4Interface(f"203.0.{net}.10/24"), IPv6Interface(f"2600:db8:0:{net}::10/64"))


INTERNET = _site("internet", 2)
CONTROLLER = _site("controller", 3)
HOMES = {name: _site(name, 4 + n) for n, name in enumerate(("laptop", "phone", "stranger"))}

# The real root servers' addresses, a to m, so that a resolver's own root hints lead to the lab's root.
# Source: https://www.internic.net/domain/named.root (2024).
ROOT_SERVERS = (
    ("198.41.0.4", "2001:503:ba3e::2:30"),
    ("170.247.170.2", "2801:1b8:10::b"),
    ("192.33.4.12", "2001:500:2::c"),
    ("199.7.91.13", "2001:500:2d::d"),
    ("192.203.230.10", "2001:500:a8::e"),
    ("192.5.5.241", "2001:500:2f::f"),
    ("192.112.36.4", "2001:500:12::d0d"),
    ("198.97.190.53", "2001:500:1::53"),
    ("192.36.148.17", "2001:7fe::53"),
    ("192.58.128.30", "2001:503:c27::2:30"),
    ("193.0.14.129", "2001:7fd::1"),
    ("199.7.83.42", "2001:500:9f::42"),
    ("202.12.27.33", "2001:dc3::35"),
)
# What the internet owns besides: two addresses that the gateway pings to prove its way out, and the roots.
ANYCAST = (
    "9.9.9.9/32",
    "2620:fe::fe/128",
    *(address for ipv4, ipv6 in ROOT_SERVERS for address in (f"{ipv4}/32", f"{ipv6}/128")),
)
# A public resolver, which some members' networks name.
RESOLVER = "9.9.9.9"


@dataclass(frozen=True)
class Zone:
    """A part of the domain name space that the internet host serves, with its records as in a zone file.

    bogus: signed, but the zone above has another key's digest. whoami: its one name has the asker's address.
    """

    name: str
    records: tuple[str, ...] = ()
    signed: bool = True
    bogus: bool = False
    whoami: bool = False


# Names that a real gateway asks for: all that it has to be told of the lab is the trust anchor.
SIGNED_NAME, BOGUS_NAME, WHOAMI_NAME = "example.com.", "dnssec-failed.org.", "whoami.akamai.net."
HERE = (f"@ 300 A {INTERNET.ipv4.ip}", f"@ 300 AAAA {INTERNET.ipv6.ip}")
ZONES = (
    Zone("."),
    Zone(SIGNED_NAME, (*HERE, f"www 300 A {INTERNET.ipv4.ip}")),
    Zone(BOGUS_NAME, HERE, bogus=True),
    # Not signed, as its real owner's is not.
    Zone(WHOAMI_NAME, signed=False, whoami=True),
)

WAN_ROUTER = ("203.0.1.1/24", "2600:db8:0:1::1/64")
WAN_IPV4 = "203.0.1.10"
# What Linux makes of the prefix and the MAC address below.
WAN_IPV6 = "2600:db8:0:1:5054:ff:fe00:10a"
WAN_PREFIX = "2600:db8:0:1::/64"
WAN_MAC = "52:54:00:00:01:0a"
SPARE_MAC = "52:54:00:00:01:0b"  # of a second network card, where a test asks for one
CONTROLLER_NAME = "controller.lab"
