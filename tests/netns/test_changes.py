"""What the daemon under test shows of changes at the controller and in the kernel, and what is made of it."""

import ipaddress
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ztgate import standing
from ztgate.steps import verify
from ztgate.zerotier import Network, parse_network

from lab.retry import NotYet, retry
from tests.netns.zerotier_world import DEFAULT, GATEWAY, LAN, World

ADDRESS = ipaddress.IPv4Address(GATEWAY)
# Seconds in which a settled member asks its controller again.
ASKS_AGAIN = 90
QUIET_LAN, OFFICE = {"target": "10.70.0.0/24"}, {"target": "172.16.0.0/16", "via": "10.70.0.2"}


@pytest.fixture(scope="module")
def world(zerotier_deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(zerotier_deb, tmp_path_factory.mktemp("changes"))
    yield world
    world.stop()


@pytest.fixture(scope="module")
def gateways(world: World) -> dict[str, str]:
    """The node gw is the gateway of a network for each change; all at once, because the waits are long."""
    networks = {name: world.create([LAN, DEFAULT]) for name in (*CHANGES, "left alone")}
    for nwid in networks.values():
        world.let_in(nwid, "gw", GATEWAY)
        world.join(nwid, "gw")
        assert lost(world, nwid) == ""
    for name, change in CHANGES.items():
        change(world, networks[name])
    return networks


def _deauthorize(world: World, nwid: str) -> None:
    world.let_in(nwid, "gw", GATEWAY, authorized=False)


def _delete(world: World, nwid: str) -> None:
    world.nodes["moon"].api("DELETE", f"/controller/network/{nwid}")


def _renumber(world: World, nwid: str) -> None:
    world.controller(f"/network/{nwid}", {"routes": [{"target": "10.77.0.0/24"}, DEFAULT]})


def _assign_another(world: World, nwid: str) -> None:
    world.let_in(nwid, "gw", "10.66.0.9")


CHANGES: dict[str, Callable[[World, str], None]] = {
    "does not let this gateway into": _deauthorize,
    "is not at its controller any more": _delete,
    "has the IPv4 range 10.77.0.0/24 now: this gateway's 10.66.0.1 is outside": _renumber,
    "has taken 10.66.0.1 from this gateway": _assign_another,
}


def seen(world: World, nwid: str) -> Network:
    return parse_network(world.nodes["gw"].api("GET", f"/network/{nwid}"))


def lost(world: World, nwid: str) -> str:
    found = standing.lost(seen(world, nwid), ADDRESS)
    return found[0] if found else ""


@pytest.mark.parametrize("words", CHANGES)
def test_what_is_said_of_it(world: World, gateways: dict[str, str], words: str) -> None:
    def check() -> None:
        if words not in lost(world, gateways[words]):
            raise NotYet(f"it says {lost(world, gateways[words])!r} and sees {seen(world, gateways[words])}")

    retry(check, ASKS_AGAIN, words)
    assert lost(world, gateways["left alone"]) == ""


def kernel(world: World, nwid: str) -> verify.Kernel:
    def rows(*words: str) -> list[dict[str, object]]:
        text = world.hosts["gw"].run("ip", "-j", *words, "show", "dev", world.device(nwid))
        found: list[dict[str, object]] = json.loads(text or "[]")
        return found

    return verify.parse(rows("address"), {4: rows("-4", "route"), 6: rows("-6", "route")})


@pytest.fixture(scope="module")
def quiet(world: World) -> str:
    """A network with a LAN of its own, in which nothing happens at the controller."""
    nwid = world.create([QUIET_LAN, {**DEFAULT, "via": "10.70.0.1"}, OFFICE])
    world.let_in(nwid, "gw", "10.70.0.1")
    world.join(nwid, "gw")
    world.wait("its routes", lambda: OFFICE["target"] in world.routes("gw", nwid))
    world.settle()
    return nwid


def test_the_kernel_has_what_the_service_says(world: World, quiet: str) -> None:
    assert verify.plan(seen(world, quiet), kernel(world, quiet)) == []
    assert verify.differences(seen(world, quiet), kernel(world, quiet)) == []


def test_what_was_taken_from_the_kernel_is_put_back(world: World, quiet: str) -> None:
    run, device = world.hosts["gw"].run, world.device(quiet)
    private = next(str(own) for own in seen(world, quiet).addresses6)
    run("ip", "address", "del", private, "dev", device)
    run("ip", "route", "del", QUIET_LAN["target"], "dev", device)
    run("ip", "-6", "route", "add", "default", "dev", device, "metric", "256")
    for action in verify.plan(seen(world, quiet), kernel(world, quiet)):
        run(*shlex.split(str(action)))
    assert verify.plan(seen(world, quiet), kernel(world, quiet)) == []
    assert f"dev {device} src 10.70.0.1" in run("ip", "route", "get", "10.70.0.2")


def test_a_next_hop_that_never_reached_the_kernel_is_named(world: World, quiet: str) -> None:
    world.controller(f"/network/{quiet}", {"routes": [QUIET_LAN, {**OFFICE, "via": "10.70.0.5"}]})
    world.wait("the new next hop", lambda: ("172.16.0.0/16", "10.70.0.5") in seen(world, quiet).routes)
    (said,) = verify.differences(seen(world, quiet), kernel(world, quiet))
    assert said.startswith(
        "the kernel's route to 172.16.0.0/16 goes via 10.70.0.2, the network's via 10.70.0.5"
    )
    assert said.endswith(": systemctl restart zerotier-one")
