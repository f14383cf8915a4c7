"""The internet service provider: the router that everybody hangs on, and the WAN's services.

It answers DHCPv4, sends router advertisements with an on-link /64, answers DNS and NTP. It has no
route for anything inside the /64: it asks by neighbour solicitation, as many VPS providers do.
"""

import sys
from pathlib import Path

from lab import process, topology
from lab.netns import Namespace, wire
from lab.retry import NotYet, retry

WAN = "wan"


class Isp:
    """The provider's router, with the WAN bridge on which the gateway's tap hangs."""

    def __init__(self, logs: Path) -> None:
        self.host = Namespace("isp", logs)

    def start(self) -> None:
        """Create the router with its WAN, and start its services."""
        self.host.create().forward()
        self.host.bridge(WAN)
        self.host.address(WAN, *topology.WAN_ROUTER)
        self.host.start("dnsmasq", *dnsmasq_argv())
        self.host.start("ntp", sys.executable, "-m", "lab.ntp")
        retry(self._dns_answers, 10, "the ISP's DNS server")

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


def dnsmasq_argv() -> list[str]:
    """DHCPv4, router advertisements and DNS of the WAN, from the drawing's addresses."""
    router = topology.WAN_ROUTER[0].split("/")[0]
    prefix = topology.WAN_PREFIX.split("/")[0]
    names = [
        f"--host-record={topology.CONTROLLER_NAME},{topology.CONTROLLER.ipv4.ip},{topology.CONTROLLER.ipv6.ip}"
    ]
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root",
        "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=", "--leasefile-ro", "--log-facility=-",
        "--bind-dynamic", f"--interface={WAN}", "--local=/lab/", *names,
        "--dhcp-authoritative", "--dhcp-range=203.0.1.100,203.0.1.200,255.255.255.0,1h",
        f"--dhcp-host={topology.WAN_MAC},{topology.WAN_IPV4}",
        f"--dhcp-option=option:router,{router}", f"--dhcp-option=option:ntp-server,{router}",
        "--enable-ra", f"--dhcp-range={prefix},ra-only,64,1h", f"--ra-param={WAN},10,1800",
    ]  # fmt: skip
