"""The rules hold at every moment: while they are replaced, and wherever ztgate is killed."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.checks import want
from lab.netns import Namespace
from lab.retry import retry
from lab.scenario import Scenario
from tests.netns.gateway_world import (
    BASE,
    INTERNET4,
    INTERNET6,
    ISP4,
    ISP6,
    MEMBER4,
    MEMBER6,
    SUBNET,
    WAN4,
    WAN6,
    World,
)
from tests.traffic import Account, Stream, Traffic
from tests.wire import Wire, mac_of

ROOT = Path(__file__).resolve().parents[2]
KILLED = Path(__file__).with_name("killed.py")
OUT4, OUT6 = "out, IPv4", "out, IPv6"
MAY = {(OUT4, "to-gw", WAN4), (OUT6, "to-gw", MEMBER6)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("moments"))
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    world.isp.address("lo", "192.168.1.10/32")
    yield world
    world.stop()


@contextmanager
def traffic(world: World) -> Iterator[Account]:
    """What may pass, and what may not: out of private networks and in, and from a cable to the same."""
    isp, member = (world.isp, "to-gw"), (world.member, "ztlab0")
    wan, zt = mac_of(world.gw, "wan0"), mac_of(world.gw, "ztlab0")
    with Wire(*isp) as outside, Wire(*member) as inside, Wire(*isp) as ear, Wire(*member) as other:
        streams = [
            Stream(OUT4, inside, zt, MEMBER4, INTERNET4),
            Stream(OUT6, inside, zt, MEMBER6, INTERNET6),
            Stream("out, to a private network", inside, zt, MEMBER4, "192.168.1.10"),
            Stream("out, with nobody's address", inside, zt, "8.8.8.8", INTERNET4),
            Stream("in, IPv6", outside, wan, INTERNET6, MEMBER6),
            Stream("in, IPv4", outside, wan, ISP4, MEMBER4),
            Stream("there and back, IPv4", outside, wan, "203.0.1.77", INTERNET4),
            Stream("there and back, IPv6", outside, wan, ISP6, INTERNET6),
        ]
        with Traffic(streams, [ear, other], [wan, zt]) as account:
            yield account


def replaced(world: World) -> None:
    world.gw.run("nft", "-f", world.work / "rules.nft")


@pytest.mark.scenario("attack", "rules are replaced under traffic", within=5)
def test_rules_are_replaced(world: World, scenario: Scenario) -> None:
    """Nothing else slips through meanwhile, and nothing that may pass is lost."""
    world.load()
    with traffic(world) as account:
        retry(lambda: want(account.seen.keys() == MAY, str(account.seen)), 10, "what may pass")
        for _ in scenario.rounds(short=100):
            with scenario.recovery():
                replaced(world)
        rounds, counts = account.rounds, dict(account.seen)
    scenario.figure("packets of each kind", rounds)
    for key in account.seen.keys() - MAY:
        scenario.lost(f"passed on: {key}")
    # The last ones may still be on their way.
    assert min(counts.values()) >= rounds - 20


def test_the_service_is_restarted(world: World) -> None:
    """The strict rules for a moment, then ours."""
    world.load()
    with traffic(world) as account:
        for _ in range(50):
            world.gw.run("nft", "-f", BASE)
            replaced(world)
    assert account.seen.keys() <= MAY, account.seen


def test_without_rules_all_of_it_passes(world: World) -> None:
    world.gw.run("nft", "flush", "ruleset")
    with traffic(world) as account:
        retry(lambda: want(len(account.seen) == 8, str(account.seen)), 10, "all of it")


def killed(world: World, root: Path, actions: int) -> bool:
    """Whether it came to its end."""
    path = f"PYTHONPATH={ROOT}:{ROOT / 'firstboot'}"
    return world.gw.succeeds("env", path, sys.executable, KILLED, root, str(actions))


def revision(text: str) -> str:
    found = re.search("chain (rev_[0-9a-f]+)", text)
    return found[1] if found else ""


@pytest.mark.parametrize("actions", [0, 1])
def test_killed_at_each_step_of_loading(world: World, tmp_path: Path, actions: int) -> None:
    """What is loaded is the old rules or the new ones, what is saved likewise, and the next run ends it."""
    world.load()
    old, saved = _loaded(world.gw), tmp_path / "var/lib/ztgate/nftables.nft"
    saved.parent.mkdir(parents=True)
    saved.write_bytes((world.work / "rules.nft").read_bytes())
    with traffic(world) as account:
        retry(lambda: want(account.seen.keys() == MAY, str(account.seen)), 10, "what may pass")
        assert not killed(world, tmp_path, actions)
        assert (_loaded(world.gw) == old) == (actions == 0), "loading is the first action"
        assert world.gw.succeeds("nft", "-c", "-f", saved), "whole, old or new"
        assert killed(world, tmp_path, -1)
    new = _loaded(world.gw)
    assert new == revision(saved.read_text()) and new != old
    assert account.seen.keys() == MAY
    assert list(saved.parent.iterdir()) == [saved], "no leftovers"


def _loaded(host: Namespace) -> str:
    return revision(host.run("nft", "list", "table", "inet", "ztgate"))
