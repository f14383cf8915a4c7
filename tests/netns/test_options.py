"""Each option of the firewall opens what it says: the expected answers are tests/doors.yaml, `through`."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests import scan
from tests.netns.gateway_world import (
    GATEWAY4,
    GATEWAY6,
    INTERNET4,
    INTERNET6,
    ISP4,
    ISP6,
    MEMBER4,
    MEMBER6,
    METADATA,
    SUBNET,
    WAN4,
    WAN6,
    World,
)
from tests.scan import DOORS, Seat
from tests.wire import Wire, mac_of

PASSED = {"open", "closed", "answers"}


@dataclass(frozen=True)
class Probe:
    """A connection that somebody tries. Nobody has to listen: a host's refusal has come all the way."""

    name: str
    target: str
    protocol: str = "tcp"
    port: int = 80
    outside: bool = False


CLOUDS = (
    *(METADATA, "169.254.42.42", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1"),
    "fd00:100::100:200",
)
PROBES = (
    Probe("internet", INTERNET4),
    Probe("internet6", INTERNET6),
    Probe("printer", "192.168.1.10"),
    Probe("router", "192.168.1.1"),
    Probe("printer6", "fd00:1::10"),
    Probe("provider", "100.64.0.5"),
    *(Probe(f"metadata {address}", address) for address in CLOUDS),
    Probe("another member, by the gateway", "10.66.0.8"),
    Probe("in tcp/443", MEMBER6, port=443, outside=True),
    Probe("in tcp/22", MEMBER6, port=22, outside=True),
    Probe("in udp/5000", MEMBER6, "udp", 5000, outside=True),
    Probe("in IPv4", MEMBER4, port=443, outside=True),
)
HERE = {4: GATEWAY4, 6: GATEWAY6}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("options"))
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    world.isp.run("ip", "route", "add", "10.66.0.0/24", "via", WAN4)
    there = {probe.target for probe in PROBES if not probe.outside} - {INTERNET4, INTERNET6, METADATA}
    world.isp.address("lo", *sorted(there - {"10.66.0.8"}))
    yield world
    world.stop()


def passed(world: World) -> list[str]:
    """Who gets an answer from where they wanted it."""
    found = []
    with Wire(world.isp, "to-gw") as outside, Wire(world.member, "ztlab0") as inside:
        macs = {outside: mac_of(world.gw, "wan0"), inside: mac_of(world.gw, "ztlab0")}
        for probe in PROBES:
            wire, six = (outside if probe.outside else inside), ":" in probe.target
            source = ((ISP4, ISP6) if probe.outside else (MEMBER4, MEMBER6))[six]
            echo = (WAN6 if six else WAN4) if probe.outside else HERE[6 if six else 4]
            seat = Seat(wire, macs[wire], source, probe.target, echo)
            said = scan.ports(seat, probe.protocol, which=[probe.port], late=0.1)
            found += [probe.name] if PASSED & set(said.values()) else []
    return found


@pytest.mark.parametrize("config", DOORS["through"])
def test_an_option_opens_what_it_says(world: World, config: str) -> None:
    world.load(f"{config}\n")
    assert sorted(passed(world)) == sorted(DOORS["through"][config])


def test_without_rules_all_of_it_is_reached(world: World) -> None:
    """But for members by IPv4: their address there is the gateway's, and 10.66.0.8 is nobody."""
    world.gw.run("nft", "flush", "ruleset")
    out = {probe.name for probe in PROBES if not probe.outside and probe.target != "10.66.0.8"}
    assert out <= set(passed(world))
