"""The shipped image, asked at every port, and watched while it starts and stops under constant traffic."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ztgate import derive

from lab import topology
from lab.checks import want
from lab.machine import Machine
from lab.member import Member
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import FAILED, LIVED_IN, READY, World
from tests import scan
from tests.scan import DOORS, Seat
from tests.traffic import Account, Stream, Traffic
from tests.wire import Wire

INTERNET4, INTERNET6 = str(topology.INTERNET.ipv4.ip), str(topology.INTERNET.ipv6.ip)
ROUTERS = {4: topology.WAN_ROUTER[0].split("/")[0], 6: topology.WAN_ROUTER[1].split("/")[0]}
# What a member's daemon carries in some seconds of an emulated machine; all ports: tests/netns/test_scan.py.
SOME = range(1, 2049)
OUT4, OUT6 = "a member to the internet, IPv4", "a member to the internet, IPv6"


@dataclass
class Life:
    """A gateway in its life. first: what was seen at its first boot; ready: what it said then."""

    world: World
    gateway: Machine
    nwid: str
    wan: Wire
    first: Account = field(default_factory=Account)
    address: str = ""
    mac: str = ""

    def outside(self) -> list[Stream]:
        """What a router would pass on, and what members did not ask for."""
        mac = topology.WAN_MAC
        return [
            Stream("outside to outside, IPv4", self.wan, mac, "203.0.1.77", INTERNET4),
            Stream("outside to outside, IPv6", self.wan, mac, "2600:db8:0:1::77", INTERNET6),
            Stream("outside to a member, IPv4", self.wan, mac, INTERNET4, "10.66.0.150"),
            Stream("outside to a member, IPv6", self.wan, mac, INTERNET6, "2600:db8:0:1:ff::150"),
        ]

    def inside(self, wire: Wire, own4: str, own6: str) -> list[Stream]:
        """What members may send out, and what they may not."""
        return [
            Stream(OUT4, wire, self.mac, own4, INTERNET4),
            Stream(OUT6, wire, self.mac, own6, INTERNET6),
            Stream("a member to the router's network", wire, self.mac, own4, "192.168.9.9"),
            Stream("a member with another's address, IPv4", wire, self.mac, "8.8.8.8", INTERNET4),
            Stream("a member with another's address, IPv6", wire, self.mac, "2600::8", INTERNET6),
        ]


@pytest.fixture(scope="module")
def life(world: World) -> Iterator[Life]:
    """Its first boot, under traffic from outside from the first moment on."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = world.gateway("doors", world.config(nwid))
    with Wire(world.isp.host, "wan") as wan, Wire(world.isp.host, "wan") as ear:
        life = Life(world, gateway, nwid, wan)
        with Traffic(life.outside(), [ear], [topology.WAN_MAC]) as life.first:
            gateway.start()
            life.address = gateway.expect(READY, never=FAILED)["address"]
        node = json.loads(world.shell().run("zerotier-cli -j info"))["address"]
        life.mac = derive.mac(nwid, node)
        yield life
    gateway.close()


@pytest.fixture(scope="module")
def laptop(life: Life) -> Member:
    """A member of its network that goes out through it."""
    laptop = life.world.member("laptop")
    life.world.controller.authorize(life.nwid, laptop.node.address)
    laptop.join(life.nwid)
    laptop.wait_tunnelled(life.nwid)
    return laptop


def test_first_boot_passes_nothing_on(life: Life) -> None:
    assert life.first.rounds > 250
    assert life.first.seen == {}


@pytest.mark.parametrize("family", [4, 6])
def test_every_port_from_outside(life: Life, family: int) -> None:
    """At UDP 9993 ZeroTier itself listens, and says nothing to strangers; test_starts.py asks without it."""
    shell = life.world.shell()
    shell.run("sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0")
    target = {4: topology.WAN_IPV4, 6: topology.WAN_IPV6}[family]
    seat = Seat(life.wan, topology.WAN_MAC, ROUTERS[family], target)
    expected = DOORS["from outside"]["ssh: {from: wan}"]
    assert scan.ports(seat, "tcp") == dict.fromkeys(expected["tcp"], "open")
    assert scan.ports(seat, "udp") == {}


def test_ports_from_a_member(life: Life, laptop: Member) -> None:
    device = laptop.node.network(life.nwid)["portDeviceName"]
    own4 = next(each for each in laptop.addresses(life.nwid) if "." in each).split("/")[0]
    with Wire(laptop.host, device) as wire:
        seat = Seat(wire, life.mac, own4, life.address)
        expected = DOORS["from members"]["ssh: {from: wan}"]
        assert scan.ports(seat, "tcp", which=SOME) == dict.fromkeys(expected["tcp"], "open")
        assert scan.ports(seat, "udp", which=SOME) == {}


def test_a_lease_is_renewed(life: Life) -> None:
    """No rule is for DHCP: a renewal is an answer to what was asked, and all else is read before any rule."""
    shell = life.world.shell()
    lease = "stat -c %Y /run/systemd/netif/leases/*"
    before = shell.run(lease)
    shell.run("sleep 1; networkctl renew eth0")
    retry(lambda: want(shell.run(lease) != before, "the lease of before"), 20, "a lease that is renewed")


@pytest.mark.scenario("attack", "a reboot under constant traffic", within=600)
def test_a_reboot_passes_on_what_it_may(life: Life, laptop: Member, scenario: Scenario) -> None:
    """From before it stops until members go out again: rules go last and come first."""
    device = laptop.node.network(life.nwid)["portDeviceName"]
    own4 = next(each for each in laptop.addresses(life.nwid) if "." in each).split("/")[0]
    own6 = laptop.global_address(life.nwid)
    may = {(OUT4, "wan", topology.WAN_IPV4), (OUT6, "wan", own6)}
    isp, home = life.world.isp.host, laptop.host
    for _ in scenario.rounds(short=1):
        with Wire(isp, "wan") as ear, Wire(home, device) as wire, Wire(home, device) as other:
            streams = [*life.outside(), *life.inside(wire, own4, own6)]
            with Traffic(streams, [ear, other], [topology.WAN_MAC, life.mac]) as account:
                retry(lambda a=account: want(a.seen.keys() == may, str(a.seen)), 60, "what may pass")  # type: ignore[misc]
                with scenario.recovery():
                    reboot(life)
                    known = dict(account.seen)
                    retry(lambda a=account, k=known: goes_on(a, k), 120, "members to go out again")  # type: ignore[misc]
        scenario.figure("packets of each kind", account.rounds)
        for key in account.seen.keys() - may:
            scenario.lost(f"passed on: {key}")
    assert account.seen.keys() == may


def reboot(life: Life) -> None:
    life.world.shell().run("systemd-run --quiet --on-active=1 systemctl reboot")
    life.world.shell().leave()
    life.gateway.expect(READY, never=FAILED)


def goes_on(account: Account, before: dict[Any, int]) -> None:
    for key, count in before.items():
        want(account.seen[key] > count, f"{key} has stopped")


def test_without_rules_all_of_it_would_pass(life: Life) -> None:
    """The ears are good ones: there are packets at all times that only rules hold back."""
    shell, wan = life.world.shell(), life.world.isp.host
    # The run that may be under way, too: it would put back what is taken away.
    shell.run("systemctl stop 'ztgate*.timer' 'ztgate*.path' ztgate-watch.service ztgate.service")
    open_ = "for f in 4 6; do while ip -$f rule del pref 90 2>/dev/null; do :; done; done; nft flush ruleset"
    with Wire(wan, "wan") as ear, Traffic(life.outside(), [ear], [topology.WAN_MAC]) as account:
        shell.run(open_)
        wanted = {"outside to outside, IPv4", "outside to outside, IPv6"}
        retry(lambda: want({key[0] for key in account.seen} >= wanted, str(account.seen)), 20, "packets")
    assert account.seen
