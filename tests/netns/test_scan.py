"""Every port of the gateway, from outside and from members; the expected answers are tests/doors.yaml."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6MLQuery, ICMPv6ND_NS, ICMPv6Unknown, IPv6ExtHdrHopByHop, RouterAlert
from scapy.packet import Packet, Raw

from tests import scan
from tests.netns.gateway_world import (
    BASE,
    GATEWAY4,
    GATEWAY6,
    ISP4,
    ISP6,
    MEMBER4,
    MEMBER6,
    MEMBER_ULA,
    SUBNET,
    WAN4,
    WAN6,
    World,
)
from tests.scan import DOORS, Seat
from tests.wire import Wire, mac_of

EARLY = "before first boot has run"
# Ports that sources of answers have: a rule that looks at nothing else lets anybody in.
TRUSTED = (53, 67, 123, 547, 9993)
LOW = range(1, 2049)
PROTOCOL = {4: "proto", 6: "nh"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("scan"))
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    for host in (world.gw, world.member):
        # A closed door is heard each time, not once a second.
        keys = ("ipv4.icmp_ratemask=0", "ipv4.icmp_msgs_per_sec=1000000", "ipv4.icmp_msgs_burst=1000000")
        host.run("sysctl", "-qw", *(f"net.{key}" for key in keys), "net.ipv6.icmp.ratelimit=0")
    yield world
    world.stop()


def set_up(world: World, config: str) -> None:
    if config == EARLY:
        world.gw.run("nft", "-f", BASE)
    else:
        world.load(f"{config}\n")


@contextmanager
def sitting(world: World, side: str, target: str) -> Iterator[Seat]:
    """A scanner outside or among members."""
    host, device, inner, sources = {
        "outside": (world.isp, "to-gw", "wan0", (ISP4, ISP6)),
        "members": (world.member, "ztlab0", "ztlab0", (MEMBER4, MEMBER_ULA)),
    }[side]
    with Wire(host, device) as wire:
        yield Seat(wire, mac_of(world.gw, inner), sources[":" in target], target)


TARGETS = {"outside": {4: WAN4, 6: WAN6}, "members": {4: GATEWAY4, 6: GATEWAY6}}


def cases() -> Iterator[Any]:
    """The whole table; in `make test` how gateways start, and what opens or closes most."""
    often = {"", EARLY, "ssh: {from: wan}", "dns: off\npage: off\nssh: {from: off}"}
    for side in TARGETS:
        for config in DOORS[f"from {side}"]:
            for family in (4, 6):
                # Doors have no family.
                quick = config in often and (family == 4 or config in (EARLY, ""))
                marks = [] if quick else [pytest.mark.soak]
                yield pytest.param(
                    side, config, family, marks=marks, id=f"{side}-{config or 'default'}-{family}"
                )


@pytest.mark.parametrize(("side", "config", "family"), cases())
def test_every_port_of_the_gateway(world: World, side: str, config: str, family: int) -> None:
    set_up(world, config)
    with sitting(world, side, TARGETS[side][family]) as seat:
        for protocol in ("tcp", "udp"):
            assert sorted(scan.ports(seat, protocol)) == DOORS[f"from {side}"][config][protocol], protocol


def test_the_scanner_hears_every_open_door(world: World) -> None:
    """Without rules everything answers: what is silent above is so because of the rules."""
    world.gw.run("nft", "flush", "ruleset")
    with sitting(world, "outside", WAN4) as seat:
        for protocol in ("tcp", "udp"):
            assert len(scan.ports(seat, protocol)) == len(scan.EVERY)


@pytest.mark.parametrize("source", TRUSTED)
@pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.soak)])
def test_no_source_port_is_trusted(world: World, source: int, family: int) -> None:
    world.load()
    with sitting(world, "outside", TARGETS["outside"][family]) as seat:
        expected = DOORS["from outside"][""]
        assert sorted(scan.ports(seat, "udp", source)) == expected["udp"]
        assert sorted(scan.ports(seat, "tcp", source, which=LOW)) == expected["tcp"]


@pytest.mark.parametrize("flags", ["A", "F", "FPU", "", "SF", "SA", "R"])
def test_no_flags_get_past(world: World, flags: str) -> None:
    """A rule that looks at connections lets nothing in that belongs to none."""
    world.load()
    with sitting(world, "outside", WAN4) as seat:
        assert scan.ports(seat, "tcp", flags=flags, which=LOW) == {}


@pytest.mark.parametrize("config", DOORS["to members"])
def test_every_port_of_a_member(world: World, config: str) -> None:
    world.load(f"{config}\n")
    with sitting(world, "outside", MEMBER6) as seat:
        for protocol in ("tcp", "udp"):
            expected = DOORS["to members"][config][protocol]
            found = sorted(scan.ports(replace(seat, echo=WAN6), protocol))
            assert found == (list(scan.EVERY) if expected == "all" else expected), protocol


def icmp(seat: Seat, kind: str, number: int) -> Packet:
    """A message of that type, as whole as its answer needs."""
    if kind == "ipv4":
        return seat.packet() / ICMP(type=number) / Raw(bytes(32))
    near = kind == "ipv6 from a neighbour"
    own = {"src": link_local(seat.wire.mac)} if near else {"src": seat.source}
    if number == 130:
        alert = IPv6ExtHdrHopByHop(options=RouterAlert(value=0))
        return seat.packet(**own, dst="ff02::1", hlim=1) / alert / ICMPv6MLQuery(mladdr="::", mrd=1)
    head = seat.packet(**own, hlim=255 if near else 64)
    if number == 135:
        return head / ICMPv6ND_NS(tgt=seat.target)
    return head / ICMPv6Unknown(type=number, msgbody=bytes(32))


def link_local(mac: str) -> str:
    """The address that Linux makes of a MAC address."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return str(
        IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:])
    )


@pytest.mark.parametrize("side", TARGETS)
@pytest.mark.parametrize("kind", ["ipv4", "ipv6 from a neighbour", "ipv6 from far"])
def test_every_type_of_icmp(world: World, side: str, kind: str) -> None:
    world.load()
    with sitting(world, side, TARGETS[side][4 if kind == "ipv4" else 6]) as seat:
        settle(seat)
        answered = [n for n in range(256) if scan.answers(seat, icmp(seat, kind, n), 1.5 if n == 130 else 0)]
    assert answered == DOORS["icmp"][side][kind]


@pytest.mark.parametrize("side", TARGETS)
def test_no_other_protocol(world: World, side: str) -> None:
    """Of all 256, without those of ICMP, TCP and UDP."""
    world.load()
    for family in (4, 6):
        with sitting(world, side, TARGETS[side][family]) as seat:
            for number in set(range(256)) - {1, 6, 17, 58}:
                assert not scan.answers(seat, seat.packet(**{PROTOCOL[family]: number}) / Raw(bytes(40))), (
                    number
                )


def settle(seat: Seat) -> None:
    """Both know each other, and the kernel has said whom it listens to."""
    scan.answers(seat, seat.packet() / Raw(b""), 0.2)
