"""The network's controller, which is everybody's root as well, ends and comes back: members do not notice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.checks import want
from lab.retry import retry
from lab.scenario import Scenario
from tests.netns.zerotier_world import CLIENT, DEFAULT, GATEWAY, HALVES, INTERNET, LAN, World

PACKETS = "50"  # five a second
LATER = {"target": "192.168.90.0/24", "via": GATEWAY}


@pytest.fixture
def world(zerotier_deb: Path, tmp_path: Path) -> Iterator[World]:
    world = World(zerotier_deb, tmp_path)
    yield world
    world.stop()


@pytest.mark.soak
@pytest.mark.scenario("network", "the controller ends and comes back", within=90)
def test_members_go_out_meanwhile(world: World, scenario: Scenario) -> None:
    """And afterwards they hear of what is new. (A day of it is in tests/unit, test_controller_away.py.)"""
    nwid = world.create([LAN, DEFAULT])
    for name, address in (("gw", GATEWAY), ("cl", CLIENT)):
        world.let_in(nwid, name, address)
    world.join(nwid, "gw")
    world.join(nwid, "cl", allowDefault=True)
    world.wait("the tunnel", lambda: world.routes("cl", nwid).keys() >= HALVES)
    world.wait("the internet", lambda: world.hears("cl", INTERNET))
    for number in scenario.rounds(short=1):
        world.nodes["moon"].stop()
        told = world.hosts["cl"].run("ping", "-q", "-i", "0.2", "-c", PACKETS, INTERNET)
        if " 0% packet loss" not in told:
            scenario.lost(told)
        later = {**LATER, "target": f"192.168.{90 + number % 100}.0/24"}
        with scenario.recovery():
            world.nodes["moon"].start()
            world.controller(f"/network/{nwid}", {"routes": [LAN, DEFAULT, later]})
            retry(lambda t=later["target"]: want(t in world.routes("cl", nwid), t), 90, "what is new")  # type: ignore[misc]
        assert world.hears("cl", INTERNET)
