"""What the rules cost a member: transfers through the tunnel and the appliance, beside the same path without.

The same path is what would be written by hand for it, one rule that translates addresses. The emulated
appliance limits the speed, so what the rules take is missing at once. The two take turns, and the median
of the ratios counts. Where something else is at work that is noise, so it is for `make soak`;
test_fast_path.py counts instructions, every day.
"""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import topology
from lab.scenario import Scenario
from lab.world import FAILED, LIVED_IN, READY, World

from .conftest import joined

INTERNET = str(topology.INTERNET.ipv4.ip)
SECONDS = "4"  # of a transfer
PAIRS = 4
LEAST = 0.95  # of the speed
# Nothing puts our rules back meanwhile.
ALONE = "systemctl stop ztgate.timer ztgate-watch.path ztgate-watch.service"
GATES = "for family in 4 6; do while ip -$family rule del pref 90 2>/dev/null; do :; done; done"
RULE = "chain out { type nat hook postrouting priority 100; oifname eth0 masquerade; };"
BY_HAND = f"nft flush ruleset; {GATES}; nft 'table ip nat {{ {RULE} }}'"
OURS = f"nft flush ruleset; {GATES}; ztgate apply --once"
DIRECTIONS = {"sends": (), "gets": ("--reverse",)}


@dataclass(frozen=True)
class Way:
    """A member's way out through the appliance."""

    world: World

    def take(self, rules: str) -> None:
        """Have these rules there, and no others."""
        self.world.shell().run(rules, timeout=300)

    def megabits(self, *direction: str) -> float:
        """Megabits a second that arrived."""
        words = ("iperf3", "--json", "--time", SECONDS, *direction, "--client", INTERNET)
        told = json.loads(self.world.member("phone").host.run(*words, timeout=60))
        return float(told["end"]["sum_received"]["bits_per_second"]) / 1e6


@pytest.fixture(scope="module")
def way(world: World) -> Iterator[Way]:
    nwid = world.controller.create_network(**LIVED_IN)
    machine = world.gateway("throughput", world.config(nwid))
    machine.start()
    machine.expect(READY, never=FAILED)
    joined(world, nwid)
    world.internet.start("iperf3", "iperf3", "--server")
    world.shell().run(ALONE)
    yield Way(world)
    machine.close()


@pytest.mark.soak
@pytest.mark.parametrize(
    "direction",
    [
        pytest.param(
            words,
            id=name,
            marks=pytest.mark.scenario("network", f"what a member {name}, with our rules", within=0),
        )
        for name, words in DIRECTIONS.items()
    ],
)
def test_rules_take_little(way: Way, scenario: Scenario, direction: tuple[str, ...]) -> None:
    speeds: dict[str, list[float]] = {BY_HAND: [], OURS: []}
    for _ in scenario.rounds(short=PAIRS):
        for rules, found in speeds.items():
            way.take(rules)
            found.append(way.megabits(*direction))
    ratio = statistics.median(ours / by_hand for by_hand, ours in zip(*speeds.values(), strict=True))
    scenario.figure("Mbit/s by one rule", round(statistics.median(speeds[BY_HAND])))
    scenario.figure("Mbit/s by ours", round(statistics.median(speeds[OURS])))
    scenario.figure("ours by one rule", round(ratio, 3))
    assert ratio >= LEAST
