"""What the internet's lines do to packets, and what of members' traffic gets through all the same.

    far (203.0.2.10) -- mid ==== isp ---- wan0 gw ztlab0 ---- member
                             the line

A member's packets have at most 1390 bytes, so most lines are wide enough for them; segments of the internet's
hosts are clamped. What the line takes away is said by ICMP, or by nobody.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.checks import want
from lab.netns import Namespace, wire
from lab.retry import retry
from lab.scenario import Scenario
from tests.netns.gateway_world import (
    INTERNET4,
    INTERNET6,
    MEMBER4,
    MEMBER6,
    MTU,
    SUBNET,
    TALK,
    WAN6,
    World,
)

LINE4, LINE6 = ("203.0.9.1/24", "203.0.9.2/24"), ("2600:db8:0:9::1/64", "2600:db8:0:9::2/64")
FAR4, FAR6 = ("203.0.2.1/24", f"{INTERNET4}/24"), ("2600:db8:0:2::1/64", f"{INTERNET6}/64")
FAMILIES = {"IPv4": (INTERNET4, MEMBER4), "IPv6": (INTERNET6, MEMBER6)}
MIRROR = 7000  # a port
WIDE = 1500  # bytes: no narrower than the others
SMALL, LARGE = 1300, 4000  # bytes of an echo request; the large one travels in fragments
RULES = "table inet line {{ chain {hook} {{ type filter hook {hook} priority 0; {rule}\n}}\n}}"
SILENT = "icmp type destination-unreachable drop; icmpv6 type packet-too-big drop"
# IPv4's fragments are put together for NAT and cut again; the first one has no offset and `more` set.
FRAGMENTS = "ip frag-off & 0x3fff != 0 drop; exthdr frag exists drop"


@dataclass(frozen=True)
class Line:
    """mtu: bytes; rule: what its near end drops; silent: no end says what is too large; delay: ms each way.

    large: the families in which a packet that is larger than any line comes back, in fragments.
    """

    mtu: int = WIDE
    rule: str = ""
    silent: bool = False
    delay: int = 0
    size: int = 300_000
    large: tuple[str, ...] = tuple(FAMILIES)


LINES = {
    "MTU 1492": Line(1492),
    "MTU 1480": Line(1480),
    "MTU 1480, and nobody says so": Line(1480, silent=True, large=("IPv4",)),
    "MTU 1480, and fragments are dropped": Line(1480, rule=FRAGMENTS, large=()),
    "20 % of all packets are lost": Line(rule="numgen random mod 100 < 20 drop", size=30_000),
    "300 ms there and back": Line(delay=150, size=100_000),
}


class Ends:
    """The world with hosts beyond the line."""

    def __init__(self, work: Path) -> None:
        self.world = World(work)
        self.mid, self.far = (Namespace(f"ours-{name}", work).create() for name in ("mid", "far"))
        world, isp = self.world, self.world.isp
        isp.run("ip", "address", "flush", "dev", "lo", "scope", "global")
        isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
        isp.forward()
        self.mid.forward()
        wire(isp, "line", self.mid, "line")
        wire(self.mid, "to-far", self.far, "eth0")
        isp.address("line", LINE4[0], LINE6[0])
        self.mid.address("line", LINE4[1], LINE6[1])
        self.mid.address("to-far", FAR4[0], FAR6[0])
        self.far.address("eth0", FAR4[1], FAR6[1])
        isp.routes([LINE4[1].split("/")[0], LINE6[1].split("/")[0]])
        self.mid.routes([LINE4[0].split("/")[0], LINE6[0].split("/")[0]])
        self.far.routes([FAR4[0].split("/")[0], FAR6[0].split("/")[0]])
        world.member.run("ip", "link", "set", "ztlab0", "mtu", str(MTU))
        world.load()
        self.far.start("mirror", sys.executable, TALK, "mirror", "tcp", str(MIRROR))
        retry(lambda: self.far.listens(MIRROR), 10, "the mirror")

    def becomes(self, line: Line) -> None:
        """The line is like this from now on."""
        for host in (self.world.isp, self.mid):
            host.run("ip", "link", "set", "line", "mtu", str(line.mtu))
            if line.silent:
                _drop(host, "output", SILENT)
        if line.rule:
            _drop(self.world.isp, "forward", line.rule)
        if line.delay:
            self._slow(line.delay)

    def _slow(self, delay: int) -> None:
        self.mid.start("line", sys.executable, "-m", "lab.slow_line", "there", "back", str(delay))
        ways = (("line", "there", 101), ("to-far", "back", 102))
        for source, device, table in ways:
            retry(lambda d=device: self.mid.run("ip", "link", "set", d, "up"), 10, device)  # type: ignore[misc]
            for family in ("-4", "-6"):
                self.mid.run("ip", family, "route", "add", "default", "dev", device, "table", str(table))
                self.mid.run("ip", family, "rule", "add", "iif", source, "lookup", str(table))

    def whole(self, size: int, family: str) -> bool:
        """Whether so many bytes come back as they were sent."""
        host, source = FAMILIES[family]
        words = (sys.executable, TALK, "swap", "tcp", host, str(MIRROR), source, str(size))
        return self.world.member.succeeds(*words)

    def echoed(self, size: int, family: str) -> bool:
        """Whether a packet of so many bytes comes back; the first are told that they are too large."""
        host, source = FAMILIES[family]
        words = ("ping", "-c", "3", "-i", "0.2", "-W", "1", "-s", str(size), "-I", source, host)
        return self.world.member.succeeds(*words)


def _drop(host: Namespace, hook: str, rule: str) -> None:
    host.run("nft", RULES.format(hook=hook, rule=rule.replace("; ", "\n")))


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    ends = Ends(tmp_path)
    yield ends
    ends.world.stop()
    ends.mid.remove()
    ends.far.remove()


def lines() -> Iterator[object]:
    for name, line in LINES.items():
        mark = pytest.mark.scenario("network", f"a line: {name}", within=60)
        yield pytest.param(line, id=name.replace(" ", "-"), marks=mark)


@pytest.mark.parametrize("line", lines())
def test_a_transfer_is_whole(ends: Ends, scenario: Scenario, line: Line) -> None:
    """Both families, there and back; a recovery is how long that takes."""
    ends.becomes(line)
    for _ in scenario.rounds(short=1):
        for family in FAMILIES:
            with scenario.recovery():
                want(ends.whole(line.size, family), f"{family}: {line.size} bytes did not come back")
            retry(lambda f=family: want(ends.echoed(SMALL, f), "no answer"), 20, family)  # type: ignore[misc]
        if line.mtu < WIDE:
            assert tuple(family for family in FAMILIES if ends.echoed(LARGE, family)) == line.large


def test_without_clamping_a_silent_line_hangs(ends: Ends) -> None:
    """What the transfers above would show without it, were the tunnel as wide as ZeroTier's default."""
    ends.becomes(LINES["MTU 1480, and nobody says so"])
    for host, device in ((ends.world.gw, "ztlab0"), (ends.world.member, "ztlab0")):
        host.run("ip", "link", "set", device, "mtu", "2800")
    address, source = FAMILIES["IPv4"]
    words = (sys.executable, TALK, "swap", "tcp", address, str(MIRROR), source, str(Line.size))
    assert not ends.world.member.succeeds(*words, timeout=3)
