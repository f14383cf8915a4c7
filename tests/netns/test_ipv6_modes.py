"""The ways in which members' IPv6 can leave, with packets: on-link, routed, NAT66, and not at all."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from ztgate import derive
from ztgate.facts.ipv6_probe import DOWN, FILTERED, ON_LINK, ROUTED
from ztgate.steps import proxy_ndp

from tests.netns.gateway_world import (
    INTERNET6,
    MEMBER6,
    MEMBER_ULA,
    SITUATION,
    SUBNET,
    TALK,
    WAN6,
    World,
)

LOOK = Path(__file__).with_name("look_ipv6.py")
FIRSTBOOT = Path(__file__).parents[2] / "firstboot"
ROUTED_PREFIX = IPv6Network("2600:db8:77:100::/56")
ROUTED_SUBNET = derive.subnet_of(ROUTED_PREFIX, 0xFF)
ROUTED_MEMBER = str(ROUTED_SUBNET[7])
NAT66 = replace(SITUATION, subnet=str(derive.rfc4193_range("116be780b4870839")), nat66=True)
UNREACHED = "2001:db8:dead::1"
AT_ONCE = 1.0  # seconds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.load()
    world.serve(world.isp, "tcp", 80)
    for key, value in proxy_ndp.answering("wan0").items():
        world.gw.run("sysctl", "-qw", f"{key}={value}")
    yield world
    world.stop()


def route(world: World) -> None:
    """A prefix that the provider routes to the gateway, and a member with an address of it."""
    world.isp.run("ip", "-6", "route", "add", str(ROUTED_PREFIX), "via", WAN6)
    world.gw.address("ztlab0", f"{ROUTED_SUBNET[1]}/80")
    world.member.address("ztlab0", f"{ROUTED_MEMBER}/80")
    world.load(situation=replace(SITUATION, subnet=str(ROUTED_SUBNET)))


def look(world: World, subnet: IPv6Network, host: str = INTERNET6) -> str:
    command = (sys.executable, LOOK, "wan0", str(subnet), WAN6, host)
    return world.gw.run("env", f"PYTHONPATH={FIRSTBOOT}", *command).strip()


def asked_for(world: World, prefix: IPv6Network) -> list[str]:
    """The addresses of a prefix that the provider's router has ever asked for."""
    rows = world.isp.run("ip", "-6", "neigh", "show", "dev", "to-gw", "nud", "all").splitlines()
    return [row for row in rows if IPv6Network(row.split()[0]).subnet_of(prefix)]


def seconds_to_fail(world: World, source: str) -> float:
    began = time.monotonic()
    assert world.ask(world.member, "tcp", INTERNET6, 80, source) == ""
    return time.monotonic() - began


def test_probe_of_a_prefix_that_is_on_link(world: World) -> None:
    assert look(world, SUBNET) == ON_LINK
    assert asked_for(world, SUBNET)


def test_probe_finds_it_on_link_each_time(world: World) -> None:
    """A router that remembers the last probe does not ask again for that one."""
    assert [look(world, SUBNET) for _ in range(3)] == [ON_LINK] * 3


def test_probe_of_a_prefix_that_is_routed_here(world: World) -> None:
    route(world)
    assert look(world, ROUTED_SUBNET) == ROUTED


def test_probe_of_a_prefix_that_is_filtered(world: World) -> None:
    """Somebody else's prefix: the WAN's own address works."""
    assert look(world, ROUTED_SUBNET) == FILTERED


def test_probe_without_the_internet(world: World) -> None:
    assert look(world, SUBNET, UNREACHED) == DOWN


def test_the_probe_leaves_nothing_behind(world: World) -> None:
    look(world, SUBNET)
    assert "dead" not in world.gw.run("ip", "-6", "address", "show")
    assert world.gw.run("ip", "-6", "neigh", "show", "proxy") == ""


def test_routed_members_are_reached_without_being_asked_for(world: World) -> None:
    route(world)
    assert world.ask(world.member, "tcp", INTERNET6, 80, ROUTED_MEMBER).split()[0] == ROUTED_MEMBER
    assert asked_for(world, ROUTED_PREFIX) == []


def test_nat66_shares_the_wans_address(world: World) -> None:
    world.load(situation=NAT66)
    assert world.ask(world.member, "tcp", INTERNET6, 80, MEMBER_ULA).split()[0] == WAN6


def test_nat66_lets_nobody_in(world: World) -> None:
    """Not even the WAN's neighbours, who can send to private addresses."""
    world.serve(world.member, "tcp", 22)
    world.load("firewall: {inbound: open, allow: [tcp/22]}\n", NAT66)
    world.isp.run("ip", "-6", "route", "add", NAT66.subnet, "via", WAN6)
    assert world.ask(world.isp, "tcp", MEMBER_ULA, 22) == ""


@pytest.mark.parametrize("source", [MEMBER6, MEMBER_ULA])
def test_without_ipv6_a_connection_fails_at_once(world: World, source: str) -> None:
    world.load(situation=replace(SITUATION, subnet=""))
    assert seconds_to_fail(world, source) < AT_ONCE


def test_many_connections_at_once_fail_at_once(world: World) -> None:
    """With ICMPv6 errors alone, 14 of these 50 were still hanging after 10 s: Linux sends 6 a second."""
    world.load(situation=replace(SITUATION, subnet=""))
    command = (sys.executable, TALK, "crowd", "tcp", INTERNET6, "80", MEMBER6)
    assert float(world.member.run(*command)) < AT_ONCE


def test_an_address_that_is_not_let_out_fails_at_once(world: World) -> None:
    world.load(situation=NAT66)
    assert seconds_to_fail(world, MEMBER6) < AT_ONCE
