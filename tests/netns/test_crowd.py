"""Many at once behind one gateway: 50,000 connections, 200 members that come and go, one that floods."""

import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from ztgate import derive, owners
from ztgate.facts.wan import Wan
from ztgate.steps import track_connections
from ztgate.zerotier import Network

from lab import process
from lab.checks import want
from lab.retry import retry
from lab.scenario import Scenario
from tests.netns.gateway_world import INTERNET4, MEMBER4, MTU, NET, TALK, WAN4, World
from tests.wire import Wire, mac_of, within

MANY = 50_000  # connections
SMALLEST = 512 << 20  # bytes of memory: a small VPS
NETWORK = NET.split()[1]
CROWD = 200  # members
AT_ONCE = 1.0  # seconds for another member's connection meanwhile
PORT, MIRROR = 80, 7000
BEYOND = 20_000  # connections more than there is room for


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("crowd"))
    world.serve(world.isp, "tcp", PORT)
    world.isp.start("mirror", sys.executable, TALK, "mirror", "tcp", str(MIRROR))
    retry(lambda: world.isp.listens(MIRROR), 10, "the mirror")
    world.load()
    yield world
    world.stop()


def tracked(world: World) -> int:
    """Connections that the gateway has in its table."""
    return int(world.gw.run("sysctl", "-n", "net.netfilter.nf_conntrack_count"))


def goes_out(world: World) -> None:
    want(world.ask(world.member, "tcp", INTERNET4, PORT).split(" ")[0] == WAN4, "the member does not go out")


def datagrams(count: int, source: str, to: str, wire: Wire) -> Iterator[bytes]:
    """One for each connection: no two have the same ports."""
    head = Ether(src=wire.mac, dst=to) / IP(src=source, dst=INTERNET4) / UDP(sport=1, dport=1)
    frame = bytearray(bytes(head))
    frame[-2:] = b"\0\0"  # without a checksum, which UDP need not have
    for number in range(count):
        frame[34:36] = (1024 + number % 60000).to_bytes(2, "big")
        frame[36:38] = (2000 + number // 60000).to_bytes(2, "big")
        yield bytes(frame)


@pytest.mark.scenario("network", "50,000 connections through NAT", within=10)
def test_50_000_connections(world: World, scenario: Scenario) -> None:
    """All of them have room on the smallest machine, and another member's connection is as quick as ever."""
    assert track_connections.room(SMALLEST) > MANY
    for _ in scenario.rounds(short=1):
        with Wire(world.member, "ztlab0") as wire:
            for frame in datagrams(MANY, MEMBER4, mac_of(world.gw, "ztlab0"), wire):
                wire.send(frame)
        retry(lambda: want(tracked(world) >= MANY, f"{tracked(world)} connections"), 10, "all of them")
        scenario.figure("connections at once", tracked(world))
        with scenario.recovery():
            goes_out(world)


def values(world: World) -> dict[str, str | None]:
    """What the step reads."""
    keys = (track_connections.COUNT, track_connections.MOST)
    return {key: world.gw.run("cat", Path("/proc/sys") / key).strip() for key in keys}


@pytest.mark.scenario("network", "a member floods the table of connections", within=AT_ONCE)
def test_more_connections_than_there_is_room_for(world: World, scenario: Scenario) -> None:
    """Those that nobody has answered make way: others go on, new ones are made, and people are told."""
    assert track_connections.crowded(values(world)) == ""
    room = int(values(world)[track_connections.MOST] or 0)
    with within(world.member):
        going_on = socket.create_connection((INTERNET4, MIRROR), timeout=10)
    with going_on, Wire(world.member, "ztlab0") as wire:
        going_on.sendall(b"before, ")
        for _ in scenario.rounds(short=1):
            for frame in datagrams(room + BEYOND, MEMBER4, mac_of(world.gw, "ztlab0"), wire):
                wire.send(frame)
            scenario.figure("connections at once", tracked(world))
            assert "connections at once" in track_connections.crowded(values(world))
            with scenario.recovery():
                goes_out(world)
        going_on.sendall(b"after")
        going_on.shutdown(socket.SHUT_WR)
        assert going_on.recv(100) == b"before, after"


def told(world: World, here: dict[str, list[str]]) -> None:
    """What ztgate does at each run, with these members' names and addresses."""
    wan = Wan("wan0", IPv4Address(WAN4), IPv4Network("203.0.1.0/24"))
    network = Network(
        NETWORK, "OK", "ztlab0", derive.mac(NETWORK, "116be780b4"), MTU, True, True, False,
        addresses4=(), addresses6=(), lan4=(), routes=(),
    )  # fmt: skip
    wanted = owners.elements(wan, network, "116be780b4", (), here, None)

    def present() -> owners.Elements:
        return owners.parse(world.gw.run("nft", "-j", "list", "table", "inet", "ztgate"))

    for action in owners.plan(wanted, present()):
        process.run(world.gw.argv(*action.argv), input=action.stdin)  # type: ignore[union-attr]
    assert present() == wanted, "nobody is missing, and nobody stuck"


@pytest.mark.scenario("network", "200 members come and go", within=10)
def test_members_come_and_go(world: World, scenario: Scenario) -> None:
    """Half of them are others each time, with addresses of those who went: whoever has one now gets out."""
    world.load()
    for number in scenario.rounds(short=4):
        nodes = [f"{0xA000000000 + n + number * CROWD // 2:010x}" for n in range(CROWD)]
        here = {node: ["", f"10.66.0.{n + 20}"] for n, node in enumerate(nodes)}
        world.gw.run("nft", "flush", "set", "inet", "ztgate", "here4")  # two minutes later
        with scenario.recovery():
            told(world, here)
            everybody_goes_out(world, here)


def everybody_goes_out(world: World, here: dict[str, list[str]]) -> None:
    """A packet of each of them is seen outside, and none of who takes somebody else's address."""
    gateway = mac_of(world.gw, "ztlab0")
    macs = [derive.mac(NETWORK, node) for node in here]
    with Wire(world.member, "ztlab0") as wire, Wire(world.isp, "to-gw") as outside:
        for owners in (macs, macs[1:] + macs[:1]):
            for mac, (_, address) in zip(owners, here.values(), strict=True):
                packet = IP(src=address, dst=INTERNET4) / UDP(sport=5000, dport=5000)
                wire.send(bytes(Ether(src=mac, dst=gateway) / packet))
        # Source ports are NAT's business: they all leave with one address.
        seen = sum(frame[36:38] == (5000).to_bytes(2, "big") for frame in outside.heard(0.5))
        want(seen == len(here), f"{seen} packets of {len(here)} members came out")
