"""What is noted for the page, with the daemon under test, real rules and a member who goes out."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ztgate import config, firewall, report
from ztgate.firewall import Situation
from ztgate.page import facts, metrics, view
from ztgate.page.facts import Examination, Facts
from ztgate.steps import fast_path

from tests.netns.zerotier_world import CLIENT, DEFAULT, GATEWAY, INTERNET, LAN, World

LOOK = Path(__file__).with_name("look_members.py")
FIRSTBOOT = Path(__file__).parents[2] / "firstboot"


@pytest.fixture(scope="module")
def seen(zerotier_deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The world, its facts, and ZeroTier's metrics."""
    root = tmp_path_factory.mktemp("observe")
    (root / "world").mkdir()
    world = World(zerotier_deb, root / "world")
    nwid = world.create([LAN, DEFAULT])
    for name, address in (("gw", GATEWAY), ("cl", CLIENT)):
        world.let_in(nwid, name, address)
    world.join(nwid, "gw")
    world.join(nwid, "cl", allowDefault=True)
    gateway(world, root, nwid)
    world.wait("the internet through the tunnel", lambda: world.hears("cl", INTERNET))
    world.wait("a surface address", lambda: bool(look(world, root).public4))
    yield SimpleNamespace(world=world, facts=look(world, root), metrics=(root / "zerotier.prom").read_text())
    world.stop()


def gateway(world: World, root: Path, nwid: str) -> None:
    """The rules of a gateway, and what ztgate would remember of it."""
    text = f"network: {nwid}\n"
    situation = Situation(world.device(nwid), "eth0", "eth0", ("10.66.0.0/24",))
    rules, read = root / "rules.nft", config.load(text, "test")
    beside = firewall.fast_path(fast_path.inputs(read, situation, flowtables=False), {})
    rules.write_text(firewall.render(firewall.inputs(read, situation)) + beside)
    world.hosts["gw"].run("nft", "-f", rules)
    wan = {"interface": "eth0", "address": "203.0.2.10"}
    files = {
        "boot/firmware/gateway.yaml": text,
        "var/lib/ztgate/state.json": json.dumps({"address": GATEWAY}),
        "var/lib/ztgate/status.json": json.dumps(
            dict.fromkeys(report.READY_KEYS, "") | {"state": "ready", "ipv6": "none", "wan": wan}
        ),
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def look(world: World, root: Path) -> Facts:
    words: list[str | Path] = [sys.executable, LOOK, root, world.nodes["gw"].home]
    world.hosts["gw"].run("env", f"PYTHONPATH={FIRSTBOOT}", *words)
    return facts.facts(root)


def test_the_member_goes_out_here(seen: SimpleNamespace) -> None:
    shown = view.build(seen.facts, Examination(), CLIENT, seen.facts.at)
    assert shown.me.who == seen.world.nodes["cl"].address
    assert [(each.tone, each.address) for each in shown.me.families] == [("good", "203.0.2.10"), ("idle", "")]
    (row,) = (row for row in shown.members if row.me)
    assert row.way.startswith("direct") and row.seen == "now" and CLIENT in row.addresses
    assert row.sent != "0 B" and row.received != "0 B"


def test_nobody_else_is_there(seen: SimpleNamespace) -> None:
    assert [member.node for member in seen.facts.members] == [seen.world.nodes["cl"].address]


def test_both_sides_are_measured(seen: SimpleNamespace) -> None:
    assert all(count > 0 for both in seen.facts.interfaces.values() for count in both)
    assert set(seen.facts.interfaces) == {"members", "wan"}


def test_zerotiers_own_metrics_are_passed_on(seen: SimpleNamespace) -> None:
    text = metrics.text(metrics.families(seen.facts, Examination(), seen.facts.at), seen.metrics)
    names = [family.name for family in text_string_to_metric_families(text)]
    assert len(names) == len(set(names)) and {"zt_peer_path_count", "ztgate_ready"} <= set(names)
