"""The real server behind the real rules: members find the page on the gateway's address, others do not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ztgate import firewall
from ztgate.observe import members

from lab.errors import LabError
from lab.netns import Namespace
from lab.retry import retry
from tests.netns.gateway_world import (
    GATEWAY4,
    GATEWAY6,
    INTERNET4,
    INTERNET6,
    ISP4,
    MEMBER4,
    MEMBER6,
    SUBNET,
    WAN4,
    WAN6,
    World,
)  # fmt: skip
from tests.unit.page import scenes

LISTEN = Path(__file__).with_name("listen.py")
PAGE = f"http://{GATEWAY4}/"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("page"))
    scenes.write(world.work / "facts", "working")
    world.load()
    words: list[str | Path] = ["ztlab0", GATEWAY4, GATEWAY6, "--", world.work / "facts"]
    world.gw.start("page", sys.executable, LISTEN, *words)
    retry(lambda: world.gw.listens(80), 10, "the page")
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    world.serve(world.isp, "tcp", 80)
    yield world
    world.stop()


def code(host: Namespace, url: str, *curl: str) -> str:
    """The HTTP status, "000" without a connection."""
    words = ["curl", "-gsS", "-o", "/dev/null", "--max-time", "2", "-w", "%{http_code}", *curl, url]
    try:
        return host.run(*words)
    except LabError as error:
        return getattr(error, "output", "")[:3]


@pytest.mark.parametrize("url", [PAGE, f"{PAGE}metrics", f"{PAGE}phones.txt", f"http://[{GATEWAY6}]/"])
def test_members_find_it(world: World, url: str) -> None:
    assert code(world.member, url) == "200"


def test_it_knows_who_looks(world: World) -> None:
    assert MEMBER4 in world.member.run("curl", "-sS", PAGE)


def test_a_name_that_was_made_to_lead_here_gets_nothing(world: World) -> None:
    assert code(world.member, PAGE, "-H", "Host: attacker.example") == "421"


@pytest.mark.parametrize("address", [WAN4, WAN6, str(SUBNET[1])])
def test_the_gateways_other_addresses_have_none(world: World, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    for who in (world.isp, world.member):
        assert code(who, f"http://{host}/") == "000", who.name


@pytest.mark.parametrize("address", [GATEWAY4, GATEWAY6])
def test_nobody_outside_reaches_the_address_of_the_inside(world: World, address: str) -> None:
    host, via, family = (f"[{address}]", WAN6, "-6") if ":" in address else (address, WAN4, "-4")
    world.isp.run("ip", family, "route", "replace", address, "via", via)
    assert code(world.isp, f"http://{host}/") == "000"
    # Nor without the firewall: the socket is the inside's.
    world.gw.run("nft", "flush", "ruleset")
    try:
        assert code(world.isp, f"http://{host}/") == "000"
        assert code(world.member, PAGE) == "200"
    finally:
        world.load()


def test_switched_off_it_is_behind_the_firewall(world: World) -> None:
    world.load("page: off\n")
    try:
        assert code(world.member, PAGE) == "000"
        assert "sent4" not in world.gw.run("nft", "list", "ruleset")
    finally:
        world.load()


def test_what_members_send_and_get_is_counted(world: World) -> None:
    world.load()
    assert world.ask(world.member, "tcp", INTERNET4, 80) and world.ask(world.member, "tcp", ISP4, 80)
    assert world.ask(world.member, "tcp", INTERNET6, 80, MEMBER6)
    found = members.uses(firewall.listed(lambda argv: (0, world.gw.run(*argv))), 1000.0)
    for name, address in (("4", MEMBER4), ("6", MEMBER6)):
        for way in ("sent", "received"):
            assert set(found[way + name]) == {address}
            assert found[way + name][address].bytes > 100
            assert 900 < found[way + name][address].last <= 1000
