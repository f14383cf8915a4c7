"""The rendered firewall, loaded into a kernel, with packets that try to get past it."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab.retry import NotYet, retry
from tests.netns.gateway_world import (
    BASE,
    GATEWAY4,
    GATEWAY6,
    INTERNET4,
    INTERNET6,
    ISP4,
    MEMBER4,
    MEMBER6,
    MEMBER_ULA,
    METADATA,
    MTU,
    SITUATION,
    SUBNET,
    TALK,
    WAN4,
    WAN6,
    World,
)
from tests.wire import Wire, mac_of

PRINTER4, ROUTER4, PRINTER6 = "192.168.1.10", "192.168.1.1", "fd00:1::10"  # behind the gateway
HEADERS4 = 40  # bytes of IPv4 and TCP


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("firewall"))
    # Whether an address is found is test_ndp.py's business.
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    world.isp.address("lo", f"{PRINTER4}/32", f"{ROUTER4}/32", f"{PRINTER6}/128")
    world.serve(world.isp, "tcp", 80)
    world.serve(world.isp, "udp", 53)
    world.serve(world.gw, "tcp", 22, 80, 9993)
    world.serve(world.gw, "udp", 9993, 5000)
    world.serve(world.member, "tcp", 22, 8080)
    world.serve(world.member, "udp", 5000)
    yield world
    world.stop()


def came_from(answer: str) -> str:
    return answer.split(" ")[0]


def test_members_leave_with_the_wan_address(world: World) -> None:
    world.load()
    assert came_from(world.ask(world.member, "tcp", INTERNET4, 80)) == WAN4
    assert came_from(world.ask(world.member, "udp", ISP4, 53)) == WAN4


def test_snat_uses_the_address_that_was_named(world: World) -> None:
    world.gw.address("wan0", "203.0.1.77/24")
    world.load("ipv4: {mode: snat, source: 203.0.1.77}\n")
    assert came_from(world.ask(world.member, "tcp", INTERNET4, 80)) == "203.0.1.77"


def test_members_leave_with_their_own_ipv6_address(world: World) -> None:
    world.load()
    assert came_from(world.ask(world.member, "tcp", INTERNET6, 80, MEMBER6)) == MEMBER6


def test_other_sources_do_not_leave(world: World) -> None:
    world.load()
    assert world.ask(world.member, "udp", ISP4, 53, "10.99.0.7") == ""
    assert world.ask(world.member, "tcp", INTERNET6, 80, MEMBER_ULA) == ""


def test_unsolicited_connections_stay_outside(world: World) -> None:
    world.load()
    assert world.ask(world.isp, "tcp", MEMBER6, 22) == ""
    assert world.ask(world.isp, "udp", MEMBER6, 5000) == ""
    world.isp.run("ip", "route", "replace", "10.66.0.0/24", "via", WAN4)
    assert world.ask(world.isp, "tcp", MEMBER4, 22) == ""


def test_allowed_ports_are_open_and_only_they(world: World) -> None:
    world.load("firewall: {allow: [tcp/8000-8100, udp/5000]}\n")
    assert world.ask(world.isp, "tcp", MEMBER6, 8080) != ""
    assert world.ask(world.isp, "udp", MEMBER6, 5000) != ""
    assert world.ask(world.isp, "tcp", MEMBER6, 22) == ""


def test_open_means_open(world: World) -> None:
    world.load("firewall: {inbound: open}\n")
    assert world.ask(world.isp, "tcp", MEMBER6, 22) != ""


@pytest.mark.parametrize("address", [WAN4, WAN6])
def test_the_gateway_itself_is_closed_to_the_outside(world: World, address: str) -> None:
    world.load()
    for port in (22, 80, 9993):
        assert world.ask(world.isp, "tcp", address, port) == "", port
    assert world.ask(world.isp, "udp", address, 5000) == ""
    assert world.ask(world.isp, "udp", address, 9993) != "", "ZeroTier's own port"
    assert world.isp.succeeds("ping", "-c1", "-W2", address)


def test_zerotiers_api_is_for_the_machine_itself(world: World) -> None:
    world.load("ssh: {from: wan}\n")
    assert world.ask(world.member, "tcp", GATEWAY4, 9993) == ""
    assert world.ask(world.gw, "tcp", "127.0.0.1", 9993) != ""


@pytest.mark.parametrize(
    ("source", "member", "outside"), [("members", True, False), ("wan", True, True), ("off", False, False)]
)
def test_ssh(world: World, source: str, member: bool, outside: bool) -> None:
    world.load(f"ssh: {{from: {source}}}\n")
    assert bool(world.ask(world.member, "tcp", GATEWAY4, 22)) is member
    assert bool(world.ask(world.member, "tcp", GATEWAY6, 22, MEMBER_ULA)) is member
    assert bool(world.ask(world.isp, "tcp", WAN4, 22)) is outside
    assert bool(world.ask(world.isp, "tcp", WAN6, 22)) is outside


def test_the_clouds_metadata_is_not_for_members(world: World) -> None:
    world.load()
    assert world.ask(world.gw, "tcp", METADATA, 80) != ""
    assert world.ask(world.member, "tcp", METADATA, 80) == ""


# What gateway.yaml says, and which of them a member then reaches.
REACHED = [
    ("", set()),
    (f"firewall: {{reach: [{PRINTER4}]}}\n", {PRINTER4}),
    ("firewall: {reach: [192.168.1.0/24]}\n", {PRINTER4, ROUTER4}),
    ('firewall: {reach: ["fd00:1::/64"]}\n', {PRINTER6}),
    ("firewall: {inbound: open, allow: [tcp/80]}\n", set()),
]


@pytest.mark.parametrize(("yaml", "reached"), REACHED)
def test_private_networks_behind_the_gateway(world: World, yaml: str, reached: set[str]) -> None:
    world.load(yaml)
    for address in (PRINTER4, ROUTER4, PRINTER6):
        source = MEMBER6 if ":" in address else ""
        assert bool(world.ask(world.member, "tcp", address, 80, source)) == (address in reached), address
        assert world.ask(world.gw, "tcp", address, 80) != "", "the gateway itself does"
    if not reached:
        assert counted(world, "private networks") > 0
    assert came_from(world.ask(world.member, "tcp", INTERNET4, 80)) == WAN4


def test_other_rules_judge_anew(world: World) -> None:
    """A connection that was let pass ends with the rule that let it."""
    world.load(f"firewall: {{reach: [{PRINTER4}]}}\n")
    with Wire(world.member, "ztlab0") as wire:
        question = Ether(src=wire.mac, dst=mac_of(world.gw, "ztlab0")) / IP(src=MEMBER4, dst=PRINTER4)

        def goes_on() -> bool:
            wire.send(bytes(question / ICMP(id=7) / Raw(b"echoed")))
            # A refusal quotes the question, and is no echo reply.
            heard = [Ether(frame) for frame in wire.heard(0.5) if b"echoed" in frame]
            return any(frame[ICMP].type == 0 for frame in heard)

        assert goes_on() and goes_on()
        world.load(f"firewall: {{reach: [{PRINTER4}]}}\n")
        assert goes_on(), "the same rules"
        world.load(f"firewall: {{reach: [{ROUTER4}]}}\n")
        assert not goes_on()


def counted(world: World, comment: str) -> int:
    """Packets of the rules that have it."""
    rules = world.gw.run("nft", "list", "table", "inet", "ztgate").splitlines()
    return sum(int(line.split("packets ")[1].split()[0]) for line in rules if f'"{comment}"' in line)


@pytest.mark.parametrize("base", [True, False])
def test_a_member_is_no_router(world: World, base: bool) -> None:
    world.gw.run("nft", "-f", BASE)
    if not base:
        world.load()
    world.gw.run(
        "sysctl", "-qw", "net.ipv6.conf.ztlab0.accept_ra=2"
    )  # the firewall alone, as if all else failed
    world.member.run(sys.executable, TALK, "advertise", "tcp", "ztlab0")

    def dropped() -> None:
        if counted(world, "routers among members") != 1:
            raise NotYet("the advertisement is not there yet")

    retry(dropped, 5, "the firewall to see it")
    assert "proto ra" not in world.gw.run("ip", "-6", "route")


def test_segments_fit_the_tunnel(world: World) -> None:
    """The member's own link is larger here, so only the gateway can tell both ends."""
    world.load()
    _, size = world.ask(world.member, "tcp", INTERNET4, 80).split()
    assert 0 < int(size) <= MTU - HEADERS4


def test_without_ipv6_members_are_told_at_once(world: World) -> None:
    world.load(situation=replace(SITUATION, subnet=""))
    told = world.member.run("sh", "-c", f"ping -c1 -W5 -I {MEMBER6} {INTERNET6} || true", timeout=3)
    assert "No route" in told
    assert came_from(world.ask(world.member, "tcp", INTERNET4, 80)) == WAN4


def test_members_pretend_to_be_nobody_outside(world: World) -> None:
    """A packet from the WAN with a member's address is not a member."""
    world.load("ssh: {from: wan}\n")
    world.isp.address("lo", "10.66.0.99/32")
    assert world.ask(world.isp, "udp", WAN4, 9993, "10.66.0.99") == ""


def test_base_policy_forwards_nothing(world: World) -> None:
    world.gw.run("nft", "-f", BASE)
    assert world.ask(world.member, "udp", ISP4, 53) == ""
    assert world.ask(world.isp, "tcp", WAN4, 22) == ""
    assert world.ask(world.isp, "udp", WAN4, 9993) != ""
    assert world.ask(world.member, "tcp", GATEWAY4, 22) != "", "an interface named zt*"


def test_replacing_keeps_connections(world: World) -> None:
    world.gw.run("nft", "-f", BASE)
    world.load()
    before = world.gw.run("nft", "-s", "list", "ruleset")  # without counters
    world.load()
    assert world.gw.run("nft", "-s", "list", "ruleset") == before
    tables = re.findall(r"^table (.*) {$", before, re.MULTILINE)
    assert tables == ["inet ztgate", "arp ztgate", "inet ztgate_fast", "netdev ztgate_fast"]


def test_a_bad_table_changes_nothing(world: World, tmp_path: Path) -> None:
    world.load()
    before = world.gw.run("nft", "list", "ruleset")
    bad = tmp_path / "bad.nft"
    bad.write_text((world.work / "rules.nft").read_text() + "nonsense\n")
    assert not world.gw.succeeds("nft", "-f", bad)
    assert world.gw.run("nft", "list", "ruleset") == before
