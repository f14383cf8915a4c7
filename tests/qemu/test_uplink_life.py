"""A gateway's uplink over the years: cables, leases, routers and prefixes come and go, and it is not touched.

`test_gateway.py` has another interface in the WAN's place, `test_hardships.py` a cable that is missing at
first boot or is pulled during set-up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from lab import topology
from lab.checks import want
from lab.isp import Offer
from lab.machine import Machine, Shell
from lab.member import Member
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import FAILED, LIVED_IN, READY, World, echo_url

# A lease of two minutes is renewed after one, or asked for again after 105 s where its server is gone; a
# controller that was not reached is asked again within two minutes. All is emulated beside other machines.
WITHIN = 360
USUAL = Offer(seconds="2m")
ELSEWHERE = "2600:db8:0:21::"
USUAL_MAC, SAME_MAC, OTHER_MAC = (f"52:54:00:ee:00:0{n}" for n in range(3))
LINK_LOCAL = "fe80::5054:ff:fe00:10a%wan"


@dataclass
class Life:
    """The gateway at work, and its member."""

    world: World
    nwid: str
    gateway: Machine
    laptop: Member
    now: Offer | None = USUAL  # with which the member was seen to go out

    def goes_out(self, offer: Offer) -> None:
        """By both families as far as they are there, from addresses of now; and by no other."""
        seen = self.laptop.get(echo_url(4), timeout=3)["address"]
        want(seen == offer.lease4, f"the internet saw {seen}")
        fresh = [net for net, state in offer.prefixes if state != "deprecated"]
        if fresh:
            own = self.laptop.get(echo_url(6), timeout=3)["address"]
            nets = [IPv6Network(f"{net.split('/')[0]}/64") for net in fresh]
            want(any(IPv6Address(own) in net for net in nets), f"the internet saw {own}")
        else:
            want(not self.reaches6(), "IPv6 is still there")

    def reaches6(self) -> bool:
        """Whether anything comes back by IPv6."""
        return self.laptop.host.succeeds("curl", "-sS", "--fail", "--max-time", "3", echo_url(6))

    def becomes(self, scenario: Scenario, offer: Offer, change: "Change") -> None:
        """The WAN changes; the time until the member goes out as it should is a recovery."""
        self.now = None
        change(self, offer)
        with scenario.recovery():
            retry(lambda: self.goes_out(offer), WITHIN, f"the member, with {offer}")
        self.now = offer


Change = Callable[[Life, Offer], None]


def quietly(life: Life, offer: Offer) -> None:
    """Nobody says that anything is different."""
    life.world.isp.offer(offer)


def with_the_cable(life: Life, offer: Offer) -> None:
    """The router starts anew, and the link is down meanwhile."""
    life.gateway.link(up=False)
    life.world.isp.offer(offer)
    life.gateway.link(up=True)


def another_router(life: Life, offer: Offer) -> None:
    """Behind a switch: the gateway's link stays up."""
    life.world.isp.replace_router(OTHER_MAC if offer != USUAL else USUAL_MAC, offer)


def same_router(life: Life, offer: Offer) -> None:
    """Another one with all of its addresses but that of the hardware."""
    life.world.isp.replace_router(SAME_MAC, offer)


MOVED = replace(USUAL, router4="203.0.21.1/24", lease4="203.0.21.77")
NEW = (ELSEWHERE, "1h")
ROTATED = replace(USUAL, router6=(f"{ELSEWHERE}1/64",), prefixes=(NEW,))
DEPRECATED = replace(
    USUAL, router6=(*USUAL.router6, f"{ELSEWHERE}1/64"), prefixes=(NEW, (topology.WAN_PREFIX, "deprecated"))
)
WITHOUT6 = replace(USUAL, router6=(), prefixes=())
SAME_AS_LAN = replace(USUAL, router4="10.66.0.254/24", lease4="10.66.0.77")
OTHER_ROUTER = replace(MOVED, router6=(f"{ELSEWHERE}1/64",), prefixes=(NEW,))

HARDSHIPS: dict[str, tuple[Change, Offer, bool]] = {
    "the WAN's cable is pulled for a moment": (with_the_cable, USUAL, False),
    "the DHCP lease is another subnet's when it is renewed": (quietly, MOVED, True),
    "another provider's router: address, subnet and /64": (with_the_cable, OTHER_ROUTER, False),
    "a router of the same addresses takes the place of the last": (same_router, USUAL, True),
    "a router of other addresses takes the place of the last": (another_router, OTHER_ROUTER, True),
    "the /64 rotates, and the old one is deprecated": (quietly, DEPRECATED, True),
    "the /64 rotates, and nobody says a word of the old one": (quietly, ROTATED, True),
    "IPv6 is gone, and comes back": (quietly, WITHOUT6, True),
    "the WAN's subnet is that of the ZeroTier network": (with_the_cable, SAME_AS_LAN, True),
}


@pytest.fixture(scope="module")
def life(world: World) -> Iterator[Life]:
    world.isp.offer(USUAL)
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = world.gateway("uplink", world.config(nwid, controller={"token-after-setup": "keep"}))
    gateway.start()
    laptop = world.member("laptop")
    laptop.join(nwid)
    world.controller.authorize(nwid, laptop.node.address)
    gateway.expect(READY, never=FAILED)
    laptop.wait_tunnelled(nwid)
    found = Life(world, nwid, gateway, laptop)
    retry(lambda: found.goes_out(USUAL), 60, "the member")
    yield found
    gateway.close()
    world.isp.offer(Offer())


def hardships() -> Iterator[object]:
    """One test each; those that take a lease's or a router's time are for `make soak`."""
    for name, (change, offer, long) in HARDSHIPS.items():
        marks = [pytest.mark.scenario("network", name, within=WITHIN), *([pytest.mark.soak] if long else [])]
        yield pytest.param(change, offer, id=name.replace(" ", "-"), marks=marks)


@pytest.fixture
def usual(life: Life) -> None:
    """What a test that failed has left is over: the cable is pulled, and the usual router is there."""
    if life.now != USUAL:
        with_the_cable(life, USUAL)
        retry(lambda: life.goes_out(USUAL), WITHIN, "the usual uplink")
        life.now = USUAL


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize(("change", "offer"), hardships())
def test_members_go_out_again(life: Life, scenario: Scenario, change: Change, offer: Offer) -> None:
    """And once more when all is as it was before."""
    for _ in scenario.rounds(short=1):
        life.becomes(scenario, offer, change)
        if offer == SAME_AS_LAN:
            says_so(life)
        if offer != USUAL:
            life.becomes(scenario, USUAL, change)


def says_so(life: Life) -> None:
    """Members go on; the gateway itself may not reach its neighbours, and names why."""
    shell = Shell(life.world.isp.host, LINK_LOCAL, life.world.key, life.world.work / "ssh" / "control6")
    retry(lambda: want("10.66.0.0/24" in shell.run("ztgate status"), "nothing of it"), WITHIN, "a warning")
    shell.leave()
