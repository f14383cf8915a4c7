"""An IPv6 router was replaced and its lifetime runs on: what the kernel sends to it, and what is done."""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lab.scenario import Scenario
from tests.netns.gateway_world import INTERNET6, ISP6, MEMBER6, SUBNET, WAN6, World

LOOK = Path(__file__).with_name("look_routers.py")
FIRSTBOOT = Path(__file__).parents[2] / "firstboot"
GONE = "fe80::dead"
TRIES = 12  # connections; that none of them goes to one of two routers is as likely as 1 in 4096


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    world.serve(world.isp, "tcp", 80)
    world.load()
    yield world
    world.stop()


def answers(world: World) -> int:
    """How many of the member's connections are made."""
    return sum(bool(world.ask(world.member, "tcp", INTERNET6, 80, MEMBER6)) for _ in range(TRIES))


def routers(world: World) -> set[str]:
    words = world.gw.run("ip", "-6", "route", "show", "default").split()
    return {after for word, after in pairwise(words) if word == "via"}


@pytest.mark.scenario("network", "an IPv6 router is gone, its route is not", within=30)
def test_a_router_that_is_gone(world: World, scenario: Scenario, tmp_path: Path) -> None:
    world.gw.run("sysctl", "-qw", "net.ipv6.fib_multipath_hash_policy=1")  # the test's are all of one pair
    for _ in scenario.rounds(short=1):
        assert answers(world) == TRIES
        world.gw.run("ip", "-6", "route", "append", "default", "via", GONE, "dev", "wan0")
        assert routers(world) == {ISP6, GONE}
        assert answers(world) < TRIES, "the kernel does not look whether it is there"
        with scenario.recovery():
            world.gw.run("env", f"PYTHONPATH={FIRSTBOOT}", sys.executable, LOOK, tmp_path)
        assert routers(world) == {ISP6}
        assert answers(world) == TRIES


@pytest.mark.soak  # it waits for answers that do not come
def test_a_cable_that_is_pulled_takes_no_route(world: World, tmp_path: Path) -> None:
    """Nobody answers then."""
    world.gw.run("ip", "-6", "route", "append", "default", "via", GONE, "dev", "wan0")
    world.isp.run("ip", "link", "set", "to-gw", "down")
    before = routers(world)
    world.gw.run("env", f"PYTHONPATH={FIRSTBOOT}", sys.executable, LOOK, tmp_path)
    assert routers(world) == before
