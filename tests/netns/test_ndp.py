"""Who answers when the provider's router asks for a member's address: the kernel, and ndppd."""

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from ztgate.actions import Command
from ztgate.steps import proxy_ndp

from lab.retry import NotYet, retry
from tests.netns.gateway_world import MEMBER6, SUBNET, World

ABSENT = str(SUBNET[0xDEAD])


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("ndp"))
    world.load("firewall: {inbound: open}\n")
    yield world
    world.stop()


def use_kernel(world: World, *addresses: str) -> None:
    """What ztgate does for members that it knows."""
    for key, value in proxy_ndp.kernel_wish("wan0", "ztlab0").items():
        world.gw.run("sysctl", "-qw", f"{key}={value}")
    wanted = {IPv6Address(address) for address in addresses}
    for action in proxy_ndp.plan_proxies(wanted, set(), "wan0", SUBNET):
        assert isinstance(action, Command)
        world.gw.run(*action.argv)


def use_ndppd(world: World) -> None:
    """ndppd with ztgate's configuration."""
    conf = world.work / "ndppd.conf"
    conf.write_bytes(proxy_ndp.ndppd_conf("wan0", "ztlab0", "7", SUBNET))
    world.gw.start("ndppd", "ndppd", "-c", conf)

    def check() -> None:
        if "ALLMULTI" not in world.gw.run("ip", "link", "show", "wan0"):
            raise NotYet("ndppd does not listen yet")

    retry(check, 10, "ndppd")


def reaches(world: World, address: str) -> bool:
    return world.isp.succeeds("ping", "-6", "-c1", "-W3", address)


def resolved(world: World, address: str) -> str:
    """What the router's neighbour table says of an address."""
    return world.isp.run("ip", "-6", "neigh", "show", address, "dev", "to-gw")


def gateway_mac(world: World) -> str:
    return world.gw.run("cat", "/sys/class/net/wan0/address").strip()


def test_nobody_answers_by_itself(world: World) -> None:
    """What the article's last step is for."""
    assert not reaches(world, MEMBER6)


def test_the_kernel_answers_for_known_members(world: World) -> None:
    use_kernel(world, MEMBER6)
    assert reaches(world, MEMBER6)
    assert gateway_mac(world) in resolved(world, MEMBER6)
    assert not reaches(world, ABSENT)


def test_the_kernel_answers_unicast_probes(world: World) -> None:
    """Routers ask again by unicast, which ndppd 0.2.5 does not hear."""
    use_kernel(world, MEMBER6)
    assert reaches(world, MEMBER6)
    world.isp.run("ip", "-6", "neigh", "change", MEMBER6, "dev", "to-gw", "nud", "probe")

    def check() -> None:
        if "REACHABLE" not in resolved(world, MEMBER6):
            raise NotYet(f"the neighbour is {resolved(world, MEMBER6)}")

    retry(check, 10, "an answer to a unicast probe")


def test_the_gateways_own_address_of_the_80_is_found(world: World) -> None:
    use_kernel(world, str(SUBNET[1]))
    assert reaches(world, str(SUBNET[1]))


def test_ndppd_answers_for_members_nobody_told_it_of(world: World) -> None:
    use_ndppd(world)
    assert reaches(world, MEMBER6)
    assert gateway_mac(world) in resolved(world, MEMBER6)


def test_ndppd_keeps_quiet_about_addresses_that_nobody_has(world: World) -> None:
    """A scan must not fill the provider's neighbour table."""
    use_ndppd(world)
    assert not reaches(world, ABSENT)
    assert gateway_mac(world) not in resolved(world, ABSENT)


def test_ndppd_notices_a_member_that_comes_later(world: World) -> None:
    """Its memory of a silence is short: a new member has IPv6 in seconds."""
    use_ndppd(world)
    assert not reaches(world, ABSENT)
    world.member.address("ztlab0", f"{ABSENT}/80")

    def check() -> None:
        if not reaches(world, ABSENT):
            raise NotYet("ndppd still remembers that nobody answered")

    retry(check, 10, "a member that came later")
