"""Packets that pretend: none of them arrives, and each is counted under the words for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPOption_LSRR, IPOption_SSRR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from ztgate import derive, firewall, owners
from ztgate.facts.wan import Wan
from ztgate.zerotier import Network

from lab import process
from lab.checks import want
from lab.retry import retry
from tests import scan
from tests.netns.gateway_world import (
    GATEWAY4,
    GATEWAY6,
    INTERNET4,
    INTERNET6,
    ISP4,
    ISP6,
    MEMBER4,
    MEMBER6,
    MEMBER_ULA,
    MTU,
    NET,
    SUBNET,
    WAN4,
    WAN6,
    World,
)
from tests.scan import Seat
from tests.wire import Wire, mac_of

NETWORK = NET.split()[1]
OWN, SENDER, VICTIM = "116be780b4", "54f03b7f83", "54f03b7f84"
VICTIM4, VICTIM6 = "10.66.0.8", str(derive.member_address(SUBNET, VICTIM))
VICTIM_ULA = str(derive.rfc4193(NETWORK, VICTIM))
SECRET = b"marked by a test"
OUTSIDE, MEMBERS = "outside", "members"
# The words under which they are counted.
IMPOSSIBLE, FOREIGN = "impossible sources", "members' addresses from outside"
NOBODYS = "no member's address"
OTHERS, ROUTES, REDIRECTS = "other members' addresses", "source routes", "redirects"
ROUTERS = "routers among members"


def udp(**options: Any) -> Packet:
    kind = IPv6 if ":" in options["dst"] else IP
    return kind(**options) / UDP(sport=40001, dport=9993) / Raw(SECRET)


def routed(option: Any) -> Packet:
    return udp(src=ISP4, dst=WAN4, options=option(routers=[INTERNET4]))


def redirect4(source: str, target: str, via: str) -> Packet:
    """About a connection that the gateway knows: for that conntrack calls it related."""
    return IP(src=source, dst=target) / ICMP(type=5, code=1, gw=via) / udp(src=target, dst=INTERNET4)


def redirect6(source: str, target: str) -> Packet:
    told = ICMPv6ND_Redirect(tgt=source, dst=INTERNET6)
    return IPv6(src=source, dst=target, hlim=255) / told / Raw(SECRET)


@dataclass(frozen=True)
class Lie:
    """A packet, where it is sent from, and its words: "" if the kernel drops it before all rules."""

    what: str
    side: str
    packet: Packet
    words: str


# Sources that are none of who sends; by how they are counted, with one of each family or more.
FROM_OUTSIDE = [
    (FOREIGN, (MEMBER4, MEMBER6, MEMBER_ULA)),
    (IMPOSSIBLE, (WAN4, WAN6, GATEWAY4, "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255")),
    (IMPOSSIBLE, ("::ffff:8.8.8.8",)),
    ("", ("::1", "ff02::1")),
]
FROM_A_MEMBER = [
    (NOBODYS, ("8.8.8.8", ISP4, "2001:4860:4860::8888", ISP6)),
    (OTHERS, (VICTIM4, VICTIM6, VICTIM_ULA)),
    (IMPOSSIBLE, (GATEWAY4, GATEWAY6, WAN4, WAN6, "127.0.0.1", "255.255.255.255")),
    ("", ("::1",)),
]
TO_OUTSIDE, TO_THE_GATEWAY, TO_A_MEMBER = (INTERNET4, INTERNET6), (GATEWAY4, GATEWAY6), (VICTIM4, VICTIM6)
ROUTE_0 = IPv6ExtHdrRouting(type=0, addresses=[INTERNET6], segleft=1)
ADVERT = IPv6(src="fe80::2", dst="ff02::1", hlim=255) / ICMPv6ND_RA()
LIES = [
    *(
        Lie(f"{source} from {side} to the {where}", side, udp(src=source, dst=ends[":" in source]), words)
        for side, table, places in (
            (OUTSIDE, FROM_OUTSIDE, {"gateway": (WAN4, WAN6), "members": TO_A_MEMBER}),
            (MEMBERS, FROM_A_MEMBER, {"gateway": TO_THE_GATEWAY, "internet": TO_OUTSIDE}),
        )
        for where, ends in places.items()
        for words, sources in table
        for source in sources
    ),
    Lie("a loose source route", OUTSIDE, routed(IPOption_LSRR), ROUTES),
    Lie("a strict source route", OUTSIDE, routed(IPOption_SSRR), ROUTES),
    Lie("a routing header", OUTSIDE, IPv6(src=ISP6, dst=WAN6) / ROUTE_0 / UDP() / Raw(SECRET), ROUTES),
    Lie("a member's", MEMBERS, IPv6(src=MEMBER6, dst=INTERNET6) / ROUTE_0 / UDP() / Raw(SECRET), ROUTES),
    Lie("an ICMP redirect", OUTSIDE, redirect4(ISP4, WAN4, "203.0.1.99"), REDIRECTS),
    Lie("an ICMP redirect for a member", OUTSIDE, redirect4(ISP4, MEMBER4, "203.0.1.99"), REDIRECTS),
    Lie("a member's ICMP redirect", MEMBERS, redirect4(MEMBER4, GATEWAY4, MEMBER4), REDIRECTS),
    Lie("a redirect by neighbour discovery", OUTSIDE, redirect6("fe80::1", WAN6), REDIRECTS),
    Lie("a member's redirect by neighbour discovery", MEMBERS, redirect6("fe80::2", GATEWAY6), REDIRECTS),
    Lie("a member's router advertisement", MEMBERS, ADVERT, ROUTERS),
]


@dataclass(frozen=True)
class Scene:
    """The world with its rules, and a seat on each side; each is the far side of the other."""

    world: World
    seats: dict[str, Seat]

    def refused(self) -> dict[str, int]:
        """As `ztgate status` has it."""
        found: dict[str, int] = firewall.shown(self.probe).get("refused", {})
        return found

    def probe(self, argv: tuple[str, ...]) -> tuple[int, str]:
        return 0, self.world.gw.run(*argv)

    def frame(self, side: str, packet: Packet, source: str = "") -> bytes:
        seat = self.seats[side]
        multicast = IPv6 in packet and packet[IPv6].dst.startswith("ff")
        return bytes(
            Ether(src=source or seat.wire.mac, dst="33:33:00:00:00:01" if multicast else seat.mac) / packet
        )

    def passes(self, side: str, frame: bytes) -> list[Packet]:
        """What comes of a frame on the other side, or comes back, with our mark in it."""
        other = self.seats[MEMBERS if side == OUTSIDE else OUTSIDE]
        back = scan.surely(self.seats[side], [frame])
        return [Ether(each) for each in (*other.wire.heard(0), *back) if SECRET in each]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    world = World(tmp_path_factory.mktemp("spoofing"))
    world.member.run("ip", "link", "set", "ztlab0", "address", derive.mac(NETWORK, SENDER))
    world.member.routes([])
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    # Whoever is asked for these is nobody that answers.
    for address in (MEMBER6, MEMBER_ULA):
        world.gw.run(
            "ip", "neigh", "replace", address, "lladdr", derive.mac(NETWORK, SENDER), "dev", "ztlab0"
        )
    world.load()
    tell(world, {SENDER: ["", MEMBER4], VICTIM: ["", VICTIM4]})
    with Wire(world.isp, "to-gw") as outside, Wire(world.member, "ztlab0") as inside:
        yield Scene(world, {
            OUTSIDE: Seat(outside, mac_of(world.gw, "wan0"), ISP4, WAN4),
            MEMBERS: Seat(inside, mac_of(world.gw, "ztlab0"), MEMBER4, GATEWAY4),
        })  # fmt: skip
    world.stop()


def tell(world: World, recalled: dict[str, list[str]]) -> None:
    """What ztgate does at each run."""
    wan = Wan("wan0", IPv4Address(WAN4), IPv4Network("203.0.1.0/24"), "wan0", (IPv6Address(WAN6),))
    own6 = (IPv6Interface(f"{GATEWAY6}/88"), IPv6Interface(f"{SUBNET[1]}/80"))
    network = Network(
        NETWORK, "OK", "ztlab0", derive.mac(NETWORK, OWN), MTU, True, True, False,
        addresses4=(IPv4Interface(f"{GATEWAY4}/24"),), addresses6=own6, lan4=(), routes=(),
    )  # fmt: skip
    wanted = owners.elements(wan, network, OWN, (SENDER,), recalled, SUBNET)
    for action in owners.plan(wanted, present(world)):
        process.run(world.gw.argv(*action.argv), input=action.stdin)  # type: ignore[union-attr]
    assert owners.plan(wanted, present(world)) == [], "a second run plans nothing"


def present(world: World) -> owners.Elements:
    return owners.parse(world.gw.run("nft", "-j", "list", "table", "inet", "ztgate"))


@pytest.fixture
def victim(scene: Scene) -> None:
    """The other member has just sent something with each of its addresses."""
    for source in (VICTIM4, VICTIM6, VICTIM_ULA):
        target = GATEWAY6 if ":" in source else GATEWAY4
        scene.passes(MEMBERS, scene.frame(MEMBERS, udp(src=source, dst=target), derive.mac(NETWORK, VICTIM)))


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.what.replace(" ", "-"))
def test_it_does_not_arrive_and_is_counted(scene: Scene, lie: Lie) -> None:
    # A connection that redirects can be about.
    scene.passes(MEMBERS, scene.frame(MEMBERS, udp(src=MEMBER4, dst=INTERNET4)))
    before = scene.refused()
    assert scene.passes(lie.side, scene.frame(lie.side, lie.packet)) == []
    grown = {words: count - before.get(words, 0) for words, count in scene.refused().items()}
    assert {words: count for words, count in grown.items() if count} == ({lie.words: 1} if lie.words else {})


HONEST = [
    (MEMBERS, MEMBER4, INTERNET4, WAN4),
    (MEMBERS, MEMBER6, INTERNET6, MEMBER6),
]


@pytest.mark.parametrize(("side", "source", "target", "shown"), HONEST)
def test_the_truth_arrives(scene: Scene, side: str, source: str, target: str, shown: str) -> None:
    """What is held back above is held back for what is wrong with it."""
    before = scene.refused()
    arrived, *_ = scene.passes(side, scene.frame(side, udp(src=source, dst=target)))
    assert arrived[IPv6 if ":" in shown else IP].src == shown
    assert scene.refused() == before


def reply(packet: Packet, target: str) -> Packet:
    """The answer to one of ours, to where it came from as the internet sees it."""
    kind = IPv6 if IPv6 in packet else IP
    return kind(src=packet[kind].dst, dst=target) / UDP(sport=9993, dport=40001) / Raw(SECRET)


ASKED4, ASKED6 = udp(src=MEMBER4, dst=INTERNET4), udp(src=MEMBER6, dst=INTERNET6)
ANSWER6 = IPv6(src=INTERNET6, dst=MEMBER6) / ROUTE_0 / UDP(sport=9993, dport=40001) / Raw(SECRET)
# In connections that the rules have let pass, and of which they look at little any more.
INSIDE = [
    Lie("another member's packet", MEMBERS, ASKED4, OTHERS),
    Lie("an answer from a member, IPv4", MEMBERS, reply(ASKED4, WAN4), NOBODYS),
    Lie("an answer from a member, IPv6", MEMBERS, reply(ASKED6, MEMBER6), NOBODYS),
    Lie("a question from outside, IPv4", OUTSIDE, ASKED4, FOREIGN),
    Lie("a question from outside, IPv6", OUTSIDE, ASKED6, FOREIGN),
    Lie("an answer with a source route", OUTSIDE, ANSWER6, ROUTES),
]


@pytest.mark.parametrize("lie", INSIDE, ids=lambda lie: lie.what.replace(" ", "-"))
def test_a_connection_that_was_judged_is_no_way_in(scene: Scene, lie: Lie) -> None:
    for asked, shown in ((ASKED4, WAN4), (ASKED6, MEMBER6)):
        assert scene.passes(MEMBERS, scene.frame(MEMBERS, asked))
        assert scene.passes(OUTSIDE, scene.frame(OUTSIDE, reply(asked, shown)))
    before = scene.refused()
    frame = scene.frame(lie.side, lie.packet, derive.mac(NETWORK, VICTIM) if lie.side == MEMBERS else "")
    assert scene.passes(lie.side, frame) == []
    grown = {words: count - before.get(words, 0) for words, count in scene.refused().items()}
    assert {words: count for words, count in grown.items() if count} == {lie.words: 1}


def test_who_is_not_known_may_have_any_address(scene: Scene) -> None:
    """A new member with an address of its own, and one that was given another one's."""
    newcomer = derive.mac(NETWORK, "aaaaaaaaaa")
    for source in ("10.66.0.200", VICTIM4):
        scene.world.gw.run("nft", "flush", "set", "inet", "ztgate", "here4")
        frame = scene.frame(MEMBERS, udp(src=source, dst=INTERNET4), newcomer)
        assert scene.passes(MEMBERS, frame)[0][IP].src == WAN4, source


@pytest.mark.usefixtures("victim")
def test_nobody_answers_for_another_member(scene: Scene) -> None:
    """ARP: while the owner answers, no other answer changes where its packets go."""
    seat = scene.seats[MEMBERS]
    scene.world.gw.run("sysctl", "-qw", "net.ipv4.neigh.ztlab0.locktime=0")

    def claim(mac: str) -> str:
        told = ARP(op=2, hwsrc=mac, psrc=VICTIM4, hwdst=seat.mac, pdst=GATEWAY4)
        scan.surely(seat, [bytes(Ether(src=mac, dst=seat.mac) / told)])
        return scene.world.gw.run("ip", "neigh", "show", VICTIM4)

    scene.world.gw.run(
        "ip", "neigh", "replace", VICTIM4, "lladdr", seat.wire.mac, "dev", "ztlab0", "nud", "stale"
    )

    def is_the_owners(claimed_by: str) -> None:
        want(derive.mac(NETWORK, VICTIM) in claim(claimed_by), "another one has it")

    retry(lambda: is_the_owners(derive.mac(NETWORK, VICTIM)), 5, "the owner's answer to count")
    scene.world.gw.run("ip", "neigh", "change", VICTIM4, "dev", "ztlab0", "nud", "stale")
    is_the_owners(derive.mac(NETWORK, SENDER))
    assert "packets 1 " in scene.world.gw.run("nft", "list", "chain", "arp", "ztgate", "input")


Part = tuple[int, int, bool]  # from and to these bytes; whether other ones are in their place


def cut(packet: Packet, parts: list[Part]) -> Iterator[Packet]:
    """Parts of a packet's content, as fragments of it."""
    content = bytes(packet.payload)
    for start, end, changed in parts:
        piece = Raw(bytes(byte ^ changed for byte in content[start:end]))
        more, offset, name = int(end < len(content)), start // 8, sum(end for _, end, _ in parts)
        if IPv6 in packet:
            extra = IPv6ExtHdrFragment(offset=offset, m=more, id=name, nh=packet.nh)
            yield IPv6(src=packet.src, dst=packet.dst) / extra / piece
        else:
            yield IP(src=packet.src, dst=packet.dst, proto=1, id=name, frag=offset, flags=more) / piece


@pytest.mark.parametrize("target", [WAN4, WAN6])
@pytest.mark.parametrize(
    ("parts", "answered"),
    [
        ([(0, 1440, False), (1440, 2800, False)], True),
        ([(0, 1440, False), (1432, 2800, False)], False),
        ([(0, 1440, False), (1400, 2800, True)], False),
        ([(1440, 2800, False), (0, 1448, True)], False),
        # What is there already counts, and nothing takes its place.
        ([(0, 1440, False), (80, 1360, True), (1440, 2800, False)], True),
    ],
)
def test_fragments_that_overlap(scene: Scene, target: str, parts: list[Part], answered: bool) -> None:
    """Nobody sees one thing where the firewall has seen another: the kernel forgets the whole packet."""
    kind, echo = (IPv6, ICMPv6EchoRequest) if ":" in target else (IP, ICMP)
    whole = kind(src=ISP6 if ":" in target else ISP4, dst=target) / echo(id=7) / Raw(bytes(2792))
    frames = [scene.frame(OUTSIDE, part) for part in cut(kind(bytes(whole)), parts)]
    heard = [Ether(each) for each in scan.surely(scene.seats[OUTSIDE], frames)]
    assert any(bytes(each).endswith(bytes(88)) for each in heard) == answered
