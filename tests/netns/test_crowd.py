"""Many at once behind one gateway: 50,000 connections, 200 members that come and go, one that floods."""

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from ztgate import derive
from ztgate.facts.wan import Wan
from ztgate.steps import know_addresses, track_connections
from ztgate.zerotier import Network

from lab import process
from lab.checks import want
from lab.retry import retry
from lab.scenario import Scenario
from tests.netns.gateway_world import INTERNET4, MEMBER4, MTU, NET, TALK, WAN4, World
from tests.wire import Wire, mac_of

MANY = 50_000  # connections
SMALLEST = 512 << 20  # bytes of memory: a small VPS
NETWORK = NET.split()[1]
CROWD = 200  # members
AT_ONCE = 1.0  # seconds for another member's connection meanwhile
PORT = 80


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("crowd"))
    world.serve(world.isp, "tcp", PORT)
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
        world.gw.succeeds("conntrack", "-F")
        before = tracked(world)
        with Wire(world.member, "ztlab0") as wire:
            for frame in datagrams(MANY, MEMBER4, mac_of(world.gw, "ztlab0"), wire):
                wire.send(frame)
        retry(lambda: want(tracked(world) - before >= MANY, f"{tracked(world)} connections"), 10, "all of them")
        scenario.figure("connections at once", tracked(world))
        with scenario.recovery():
            goes_out(world)
