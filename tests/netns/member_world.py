"""A gateway of namespaces, and a member with a user land of its own that join.sh is run on.

    internet --- isp --- wan0 gateway ~~~ (ZeroTier) ~~~ laptop eth0 --- isp

The ISP's DNS server and the gateway's have different answers for the name that says which resolver was asked.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ztgate import kit

from lab import process, topology
from lab.controller import Controller
from lab.isp import WAN, Isp
from lab.netns import Namespace, wire
from lab.retry import NotYet, retry
from lab.standin.zerotier_one_standin import derive
from lab.userland import HOME, Userland
from lab.world import ECHO_PORT, echo_url
from lab.zerotier import Node, Package

Json = dict[str, Any]
WHOAMI = "whoami.example.net"
GATEWAY4, MOVED4 = "10.66.0.1", "10.66.0.2"
SUBNET = "2600:db8:0:1:ff::/80"
LAPTOP = topology.HOMES["laptop"]
ISP_DNS = LAPTOP.uplinks[0].split("/")[0]  # the router at home answers DNS, as most do
LAN = ("192.168.50.1", "192.168.50.10")  # a computer beside the laptop, and the laptop
NETWORKD = f"""[Match]
Name=eth0
[Network]
Address={LAPTOP.ipv4}
Address={LAPTOP.ipv6}
Gateway={LAPTOP.uplinks[0].split("/")[0]}
Gateway={LAPTOP.uplinks[1].split("/")[0]}
DNS={ISP_DNS}
IPv6AcceptRA=no
"""
MANAGER = f"""[connection]
id=cable
type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1={LAPTOP.ipv4},{LAPTOP.uplinks[0].split("/")[0]}
dns={ISP_DNS};
[ipv6]
method=manual
address1={LAPTOP.ipv6},{LAPTOP.uplinks[1].split("/")[0]}
"""
RESOLV = f"# by hand\nnameserver {ISP_DNS}\n"
# What the real machine would have: a unit that asks for its network, and a program that never stops talking.
CHATTER = """[Unit]
Description=Talks from as early as it can
DefaultDependencies=no
After=network-pre.target
[Install]
WantedBy=sysinit.target
[Service]
ExecStart=/bin/sh /usr/local/sbin/chatter
"""
TALK = f"""round=0
while :; do
    ping -c 1 -W 1 {topology.INTERNET.ipv4.ip} &
    ping -c 1 -W 1 {topology.INTERNET.ipv6.ip} &
    curl -s --max-time 1 {echo_url(4)} & curl -s -g --max-time 1 '{echo_url(6)}' &
    busybox nslookup talk.example.net {ISP_DNS} & getent ahostsv4 {WHOAMI} &
    sleep 0.4
    round=$((round + 1)); echo $round >/run/chatter
done >/dev/null 2>&1
"""


class World:
    """The internet, a gateway that does what ours does, and as many networks as tests want."""

    def __init__(self, deb: Path, work: Path) -> None:
        self.work, self.logs = work, work / "logs"
        self.package = Package.unpack(deb, work / "package")
        self.isp = Isp(self.logs)
        self.isp.start()
        self.internet = self.isp.connect(topology.INTERNET, self.logs)
        self.internet.address("lo", *topology.ANYCAST)
        for address in topology.ANYCAST:
            via = topology.INTERNET.ipv6.ip if ":" in address else topology.INTERNET.ipv4.ip
            self.isp.host.run("ip", "route", "add", address, "via", str(via))
        self.internet.start("echo", sys.executable, "-m", "lab.echo", "--port", str(ECHO_PORT))
        host = self.isp.connect(topology.CONTROLLER, self.logs)
        self.controller = Controller(host, self.package, work / "controller")
        self.controller.start()
        self.gateway, self.node = self._gateway()
        self.laptop = self.isp.connect(LAPTOP, self.logs)
        self.isp.host.address(f"to-{LAPTOP.name}", f"{LAN[0]}/24")
        self.dns(self.isp.host, LAN[0], LAN[0])
        self.dns(self.isp.host, ISP_DNS, ISP_DNS)
        self.dns(self.gateway, GATEWAY4, topology.WAN_IPV4)  # as soon as it has that address
        self.userlands: dict[tuple[str, str], Userland] = {}
        self.nwid = ""

    def _gateway(self) -> tuple[Namespace, Node]:
        host = Namespace("gateway", self.logs).create()
        host.forward()
        wire(self.isp.host, "to-gateway", host, "wan0")
        self.isp.host.run("ip", "link", "set", "to-gateway", "master", WAN)
        host.address("wan0", f"{topology.WAN_IPV4}/24", "2600:db8:0:1::10/64")
        host.routes([router.split("/")[0] for router in topology.WAN_ROUTER])
        host.run("sysctl", "-qw", "net.ipv6.conf.all.proxy_ndp=1", "net.ipv6.conf.wan0.proxy_ndp=1")
        host.run("nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }")
        host.run("nft", "add rule ip nat out oifname wan0 ip saddr 10.66.0.0/16 masquerade")
        node = Node(host, self.package, self.work / "gateway")
        node.trust(self.controller.moon)
        node.start()
        return host, node

    def dns(self, host: Namespace, address: str, seen_as: str) -> None:
        """A DNS server on an address of a host, which says that it is ``seen_as``."""
        host.start(
            "dns", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root",
            "--group=root", "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=", "--log-facility=-",
            "--log-queries", "--port=53", "--bind-dynamic", f"--listen-address={address}",
            "--except-interface=lo", f"--host-record={WHOAMI},{seen_as}",
        )  # fmt: skip

    def network(self, *, ipv6: bool = True, dns: bool = True) -> str:
        """A network whose default routes lead to the gateway, as ours announces them."""
        if self.nwid:  # the gateway has one network at a time
            self.node.api("DELETE", f"/network/{self.nwid}")
        routes: list[Json] = [{"target": "10.66.0.0/24"}, {"target": "0.0.0.0/0", "via": GATEWAY4}]
        settings: Json = {"name": "home", "mtu": 1390, "v4AssignMode": {"zt": True}}
        pools = [{"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.200"}]
        nwid = self.controller.create_network(routes=routes, **settings)
        if ipv6:
            via = derive.rfc4193(int(nwid, 16), int(self.node.address, 16)).ip
            routes += [{"target": SUBNET}, {"target": "::/0", "via": str(via)}]
            start = SUBNET.split("/")[0]
            pools.append({"ipRangeStart": start, "ipRangeEnd": f"{start[:-1]}ffff:ffff:ffff"})
        more: Json = {
            "routes": routes,
            "ipAssignmentPools": pools,
            "v6AssignMode": {"rfc4193": ipv6, "zt": ipv6},
        }
        if dns:
            more["dns"] = {"domain": "home.example", "servers": [GATEWAY4]}
        self.controller.node.api("POST", f"/controller/network/{nwid}", more)
        member = {"authorized": True, "ipAssignments": [GATEWAY4, MOVED4]}
        self.controller.node.api("POST", f"/controller/network/{nwid}/member/{self.node.address}", member)
        self.node.join(nwid, allowManaged=True, allowGlobal=True)
        retry(lambda: self.node.network(nwid), 30, "the gateway in its network")
        self.nwid = nwid
        return nwid

    def userland(self, suite: str, kind: str) -> Userland:
        """The laptop's, off; ``kind`` is networkd, NetworkManager or plain, which is without systemd."""
        for other in self.userlands.values():  # they are one computer: only one of them can be plugged in
            other.stop()
        self.laptop.run("nft", "flush", "ruleset")  # a namespace outlives its processes
        if (suite, kind) not in self.userlands:
            self.userlands[suite, kind] = self._installed(suite, kind)
        return self.userlands[suite, kind]

    def forget(self, land: Userland) -> None:
        """Keep what is on its disk as evidence, and install another one where it is wanted again."""
        self.userlands = {key: each for key, each in self.userlands.items() if each is not land}
        land.work.rename(land.work.with_name(f"{land.work.name}-{self.nwid}"))

    def _installed(self, suite: str, kind: str) -> Userland:
        land = Userland(self.laptop, suite, self.work / f"{suite}-{kind}", systemd=kind != "plain")
        land.create(self.package)
        (land.tree / HOME / "moons.d").mkdir()
        moon = self.controller.moon
        (land.tree / HOME / "moons.d" / moon.name).write_bytes(moon.read_bytes())
        settings = '{"settings": {"allowTcpFallbackRelay": false, "portMappingEnabled": false}}'
        land.write(f"{HOME}/local.conf", settings)
        land.write("usr/local/sbin/chatter", TALK)
        land.write("etc/systemd/system/chatter.service", CHATTER)
        if kind == "networkd":
            land.write("etc/systemd/network/10-cable.network", NETWORKD)
            land.enable("systemd-networkd", "systemd-resolved", "zerotier-one")
        elif kind == "NetworkManager":
            cable = "etc/NetworkManager/system-connections/cable.nmconnection"
            land.write(cable, MANAGER)
            (land.tree / cable).chmod(0o600)
            land.disable("systemd-resolved", "systemd-networkd")
            land.write("etc/resolv.conf", RESOLV)
            land.enable("NetworkManager", "zerotier-one")
        else:
            land.write("etc/resolv.conf", RESOLV)
        if kind != "NetworkManager":
            land.disable("NetworkManager")
        return land

    def script(self, nwid: str, land: Userland) -> None:
        """join.sh for a network, put where a person would have it."""
        values = kit.Kit(nwid, "lab-gateway", "", echo_url(4), echo_url(6), WHOAMI)
        land.write("root/join.sh", kit.render("join.sh", values))

    def enrol(self, nwid: str, land: Userland, *options: str) -> str:
        """Run join.sh as a person would while the owner lets the node in; returns what it said.

        Raises:
            LabError: its exit status is not 0.
        """
        self.script(nwid, land)
        node = retry(lambda: land.run("zerotier-cli", "info"), 20, "the laptop's node").split()[2]
        shell = ["sh"] if land.systemd else ["busybox", "ash"]
        script = land.argv(*shell, "/root/join.sh", "--wait", "60", *options)
        log = self.logs / f"join-{nwid}-{land.work.name}.log"
        log.unlink(missing_ok=True)
        running = process.start(script, log)
        try:
            retry(lambda: self._asked(running, log), 60, "join.sh")
            self.controller.authorize(nwid, node)
            self._proxy(retry(lambda: self._given(nwid, node), 30, "the laptop's address"))
            if running.wait(120) != 0:
                raise process.CommandFailed(["join.sh"], running.returncode, log.read_text())
        finally:
            process.stop(running)
        return log.read_text()

    @staticmethod
    def _asked(running: "subprocess.Popen[bytes]", log: Path) -> None:
        if running.poll() is None and "tell them its node id" not in log.read_text():
            raise NotYet(log.read_text())

    def _given(self, nwid: str, node: str) -> list[str]:
        given: list[str] = self.controller.member(nwid, node)["ipAssignments"]
        if not given:
            raise NotYet("no address yet")
        return given

    def _proxy(self, addresses: list[str]) -> None:
        """Neighbours on the WAN find a member's address at the gateway, as ours does it."""
        for address in addresses:
            if ":" in address:
                self.gateway.run("ip", "-6", "neigh", "replace", "proxy", address, "dev", "wan0")

    def stop(self) -> None:
        """Take it all down."""
        for land in self.userlands.values():
            land.stop()
        for host in (self.laptop, self.gateway, self.controller.host, self.internet, self.isp.host):
            host.remove()
