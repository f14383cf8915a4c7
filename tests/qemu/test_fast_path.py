"""Established connections take the kernel's fast path, in the image's own kernel; what a packet takes there.

The costs are counted in instructions, so they do not depend on the machine (fast_path_guest.py).
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, firewall
from ztgate.actions import Command
from ztgate.steps import fast_path, gate

from lab.checks import want
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import FAILED, LIVED_IN, READY, World, echo_url
from tests.netns.gateway_world import MEMBER4, NET, SITUATION

from .conftest import joined

GUEST = Path(__file__).with_name("fast_path_guest.py")
BY_HAND = "table ip nat { chain out { type nat hook postrouting priority 100; oifname wan0 masquerade\n}\n}\n"
# Of the speed without our rules, if nothing but the kernel's way took time; ZeroTier's share makes it more.
LEAST = 0.95
LIES = "other members' addresses"
# Octets, and so many a second: it lasts until it has been looked at.
WHOLE, RATE, ENOUGH = 50_000_000, "100k", 200_000


@pytest.fixture(scope="module")
def counted(world: World) -> Iterator[str]:
    """The network of a gateway whose instructions are counted."""
    nwid = world.controller.create_network(**LIVED_IN)
    machine = world.gateway("fast-path", world.config(nwid), counted=True, accelerator="tcg")
    machine.start()
    machine.expect(READY, never=FAILED)
    yield nwid
    machine.close()


@pytest.fixture(scope="module")
def said(world: World, counted: str) -> Any:
    """What the script says that runs in the gateway, in namespaces of its own."""
    read, shell = config.load(NET, "test"), world.shell()
    beside = fast_path.inputs(read, SITUATION, flowtables=True)
    gates = [action for action in gate.plan(("ztlab0", "wan0"), frozenset()) if isinstance(action, Command)]
    texts = {
        "hand.nft": BY_HAND,
        "rules.nft": firewall.render(firewall.inputs(read, SITUATION)),
        "fast.nft": firewall.fast_path(beside, {4: [f"{MEMBER4} . MAC"], 6: []}),
        "gates.sh": "".join(f"{shlex.join(action.argv)}\n" for action in gates),
        "guest.py": GUEST.read_text(),
    }
    shell.run("mkdir /run/lab")
    for name, text in texts.items():
        shell.run(f"printf %s {shlex.quote(text)} >/run/lab/{name}")
    return json.loads(shell.run("python3 /run/lab/guest.py /run/lab", timeout=1200))


@pytest.mark.scenario("network", "what our rules take of a packet, in the image's kernel", within=0)
def test_rules_take_next_to_nothing(said: Any, scenario: Scenario) -> None:
    """Of a connection that is established, as most are; without the fast path it was more."""
    costs = said["costs"]
    next(iter(scenario.rounds(short=1)))
    for name, each in costs.items():
        for direction, instructions in each.items():
            scenario.figure(f"instructions, {direction}, {name}", round(instructions))
    for direction, by_hand in costs["by hand"].items():
        assert by_hand / costs["ours"][direction] >= LEAST, costs
        assert costs["slow"][direction] > costs["ours"][direction], "it is what makes the difference"


def test_established_connections_take_it_and_nobody_else(said: Any) -> None:
    facts = dict(said["facts"])
    counted = firewall.refused(firewall.ours(json.loads(facts.pop("listed"))["nftables"]))
    assert {words: packets for words, packets in counted.items() if packets} == {LIES: 10}
    assert facts == {
        "fast without": False,
        "fast with": True,
        "own packets": 10,
        "lies": 0,  # the connection is another member's
        "fast when rules are replaced": False,
        "fast again": True,
        "without any rules": 0,
    }


@pytest.mark.parametrize("family", [4, 6])
def test_a_members_download_takes_it(world: World, counted: str, family: int) -> None:
    """All of it by the appliance's own doing; the page counts it all the same."""
    phone, shell = joined(world, counted), world.shell()
    url = echo_url(family, f"/bytes/{WHOLE}")
    phone.host.start("download", "curl", "-sS", "-g", "--limit-rate", RATE, "--output", "/dev/null", url)

    def fast() -> None:
        rows = shell.run("cat /proc/net/nf_conntrack").splitlines()
        ours = [row for row in rows if row.startswith(f"ipv{family}") and "OFFLOAD" in row]
        want(bool(ours), f"nothing of it takes the fast path: {rows}")

    def counted_for() -> None:
        listed = json.loads(shell.run(f"nft -j list set netdev ztgate_fast received{family}"))["nftables"]
        found = [row["elem"]["counter"]["bytes"] for row in listed[1]["set"].get("elem", ())]
        want(bool(found) and max(found) > ENOUGH, f"counted are {found}")

    retry(fast, 60, f"IPv{family} on the fast path")
    retry(counted_for, 60, "the page's figures")
