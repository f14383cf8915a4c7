"""The internet service provider: the router that everybody hangs on, and the WAN's services.

It answers DHCPv4, sends router advertisements with an on-link /64, answers DNS and NTP. It has no
route for anything inside the /64: it asks by neighbour solicitation, as many VPS providers do.
"""

import subprocess
import sys
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from lab import process, topology
from lab.netns import Namespace, wire
from lab.retry import NotYet, retry

WAN = "wan"


@dataclass(frozen=True)
class Offer:
    """What the WAN gives out: the router's addresses, the gateway's lease, its time, and /64s by their state.

    router6: "" without IPv6. prefixes: with the lifetime that dnsmasq's --dhcp-range takes, or `deprecated`.
    """

    router4: str = topology.WAN_ROUTER[0]
    lease4: str = topology.WAN_IPV4
    seconds: str = "1h"
    router6: tuple[str, ...] = (topology.WAN_ROUTER[1],)
    prefixes: tuple[tuple[str, str], ...] = ((topology.WAN_PREFIX, "1h"),)


class Isp:
    """The provider's router, with the WAN bridge on which the gateway's tap hangs."""

    def __init__(self, logs: Path) -> None:
        self.host = Namespace("isp", logs)
        self._dnsmasq: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Create the router with its WAN, and start its services."""
        self.host.create().forward()
        self.host.bridge(WAN)
        self.offer(Offer())
        self.host.start("ntp", sys.executable, "-m", "lab.ntp")

    def offer(self, offer: Offer) -> None:
        """From now on the WAN is like this. Whoever has a lease hears of it when it asks again."""
        if self._dnsmasq is not None:
            process.stop(self._dnsmasq)
        self.host.run("ip", "address", "flush", "dev", WAN, "scope", "global")
        self.host.address(WAN, offer.router4, *offer.router6)
        self._dnsmasq = self.host.start("dnsmasq", *dnsmasq_argv(offer))
        retry(self._dns_answers, 10, "the ISP's DNS server")

    def replace_router(self, mac: str, offer: Offer) -> None:
        """Another one in its place, with other MAC and link-local addresses; it knows nothing of the last."""
        for words in (["down"], ["address", mac], ["up"]):
            self.host.run("ip", "link", "set", WAN, *words)
        self.offer(offer)

    def _dns_answers(self) -> None:
        if ":53 " not in self.host.run("ss", "-Hlun"):
            raise NotYet("nobody listens on port 53")

    def connect(self, site: topology.Site, logs: Path) -> Namespace:
        """Make a site's namespace and plug it in."""
        host = Namespace(site.name, logs).create()
        wire(self.host, f"to-{site.name}", host, "eth0")
        self.host.address(f"to-{site.name}", *site.uplinks)
        host.address("eth0", str(site.ipv4), str(site.ipv6))
        host.routes([uplink.split("/")[0] for uplink in site.uplinks])
        return host

    def neighbour(self, address: str) -> str:
        """The MAC address to which the WAN's ``address`` was resolved; empty when it was not."""
        entry = self.host.run("ip", "-6", "neigh", "show", address, "dev", WAN).split()
        return entry[entry.index("lladdr") + 1] if "lladdr" in entry else ""

    def forget_neighbours(self) -> None:
        """Have the router ask again for every address on the WAN."""
        process.succeeds(self.host.argv("ip", "neigh", "flush", "dev", WAN))


def dnsmasq_argv(offer: Offer) -> list[str]:
    """DHCPv4, router advertisements and DNS of the WAN."""
    own = IPv4Interface(offer.router4)
    names = [
        f"--host-record={topology.CONTROLLER_NAME},{topology.CONTROLLER.ipv4.ip},{topology.CONTROLLER.ipv6.ip}"
    ]
    network = own.network.network_address
    ranges = [f"--dhcp-range={net.split('/')[0]},ra-only,64,{state}" for net, state in offer.prefixes]
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root",
        "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=", "--leasefile-ro", "--log-facility=-",
        "--bind-dynamic", f"--interface={WAN}", "--local=/lab/", *names, "--dhcp-authoritative",
        f"--dhcp-range={network + 100},{network + 200},{own.network.netmask},{offer.seconds}",
        f"--dhcp-host={topology.WAN_MAC},{offer.lease4}",
        f"--dhcp-option=option:router,{own.ip}", f"--dhcp-option=option:ntp-server,{own.ip}",
        *(["--enable-ra", *ranges, f"--ra-param={WAN},10,1800"] if ranges else []),
    ]  # fmt: skip
