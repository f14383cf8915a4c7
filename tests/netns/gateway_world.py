"""A gateway between an ISP and a member, all of them namespaces, for test_firewall.py and test_ndp.py.

    internet (203.0.2.10) -- isp ---- wan0 gw ztlab0 ---- member
                             203.0.1.1/24   10.66.0.1/24  10.66.0.7
                             2600:db8:0:1::/64, on-link   2600:db8:0:1:ff::7/80

ZeroTier's place is taken by a wire whose end is named like its interface.
"""

import sys
from ipaddress import IPv6Network
from pathlib import Path

from ztgate import config, firewall
from ztgate.firewall import Situation
from ztgate.steps import fast_path

from lab.errors import LabError
from lab.netns import Namespace, wire
from lab.retry import NotYet, retry

TALK = Path(__file__).with_name("talk.py")
BASE = Path(__file__).parents[2] / "overlays/common/etc/nftables.conf"
NET = "network: 116be780b4870839\n"
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
INTERNET4, INTERNET6, METADATA = "203.0.2.10", "2600:db8:0:2::10", "169.254.169.254"
ISP4, ISP6 = "203.0.1.1", "2600:db8:0:1::1"
WAN4, WAN6 = "203.0.1.10", "2600:db8:0:1::10"
GATEWAY4, GATEWAY6 = "10.66.0.1", "fd11:6be7:80b4:8708:3999:9311:6be7:80b4"
MEMBER4, MEMBER6, MEMBER_ULA = "10.66.0.7", "2600:db8:0:1:ff::7", "fd11:6be7:80b4:8708:3999:9354:f03b:7f83"
SITUATION = Situation("ztlab0", "wan0", "wan0", ("10.66.0.0/24",), str(SUBNET))
MTU = 1390


class World:
    """The three hosts, with addresses and servers, without a firewall and without an NDP proxy."""

    def __init__(self, work: Path) -> None:
        self.work = work
        # Other tests of this run have namespaces of their own, and some leave them to the sandbox.
        self.hosts = [Namespace(f"ours-{name}", work).create() for name in ("isp", "gw", "member")]
        self.isp, self.gw, self.member = self.hosts
        wire(self.isp, "to-gw", self.gw, "wan0")
        wire(self.gw, "ztlab0", self.member, "ztlab0")
        self.isp.address("to-gw", f"{ISP4}/24", f"{ISP6}/64")
        self.isp.address("lo", f"{INTERNET4}/32", f"{INTERNET6}/128", f"{METADATA}/32")
        self.gw.address("wan0", f"{WAN4}/24", f"{WAN6}/64")
        self.gw.address("ztlab0", f"{GATEWAY4}/24", f"{GATEWAY6}/88", f"{SUBNET[1]}/80")
        self.gw.run("ip", "link", "set", "ztlab0", "mtu", str(MTU))
        self.gw.routes([ISP4, ISP6])
        self.gw.forward()
        self.member.address("ztlab0", f"{MEMBER4}/24", "10.99.0.7/24", f"{MEMBER_ULA}/88", f"{MEMBER6}/80")
        self.member.routes([GATEWAY4, GATEWAY6])

    def load(self, yaml: str = "", situation: Situation = SITUATION) -> None:
        """The firewall of a gateway.yaml, over whatever is there."""
        read = config.load(NET + yaml, "test")
        text = firewall.render(firewall.inputs(read, situation))
        # Not every kernel that runs tests has flowtables: tests/qemu/test_fast_path.py takes the image's.
        if situation.zt and situation.wan:
            text += firewall.fast_path(fast_path.inputs(read, situation, flowtables=False), {})
        rules = self.work / "rules.nft"
        rules.write_text(text)
        self.gw.run("nft", "-f", rules)

    def serve(self, host: Namespace, protocol: str, *ports: int) -> None:
        """A server inside that answers with the address that it saw."""
        host.start(f"talk-{protocol}-{ports[0]}", sys.executable, TALK, "serve", protocol, *map(str, ports))
        flag = "-t" if protocol == "tcp" else "-u"

        def check() -> None:
            listening = host.run("ss", "-Hln", flag)
            if not all(f":{port} " in listening for port in ports):
                raise NotYet(f"{host.name} does not listen yet")

        retry(check, 10, "the servers of a test")

    def ask(self, host: Namespace, protocol: str, address: str, port: int, source: str = "") -> str:
        """The answer of a server, "" when there is none."""
        try:
            words = [protocol, address, str(port), *([source] if source else [])]
            return host.run(sys.executable, TALK, "ask", *words)
        except LabError:
            return ""

    def stop(self) -> None:
        """End the servers and remove the hosts, so that the next test can have new ones."""
        for host in self.hosts:
            host.remove()
