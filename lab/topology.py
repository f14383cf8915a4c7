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

# Addresses that the internet owns besides: two that the gateway pings to prove that it gets out.
ANYCAST = ("9.9.9.9/32", "2620:fe::fe/128")

WAN_ROUTER = ("203.0.1.1/24", "2600:db8:0:1::1/64")
WAN_IPV4 = "203.0.1.10"
WAN_PREFIX = "2600:db8:0:1::/64"
WAN_MAC = "52:54:00:00:01:0a"
SPARE_MAC = "52:54:00:00:01:0b"  # of a second network card, where a test asks for one
CONTROLLER_NAME = "controller.lab"
