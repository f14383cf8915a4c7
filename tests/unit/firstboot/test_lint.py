"""Networks that a controller accepts and that break then: each is refused, by name."""

from copy import deepcopy
from ipaddress import IPv4Address, IPv6Network, ip_network
from typing import Any

import pytest
from ztgate import lint
from ztgate.controllers.base import Member
from ztgate.errors import ZtgateError
from ztgate.facts import around
from ztgate.lint import Case
from ztgate.register import Want

NET, NODE, PHONE = "116be780b4870839", "116be780b4", "54f03b7f83"
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
GOOD: dict[str, Any] = {
    "routes": [
        {"target": "10.66.0.0/24", "via": None},
        {"target": "192.168.77.0/24", "via": "10.66.0.50"},
        {"target": str(SUBNET), "via": None},
    ],
    "ipAssignmentPools": [{"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}],
    "v6AssignMode": {"6plane": False, "rfc4193": True, "zt": True},
    "mtu": 1390,
    "multicastLimit": 32,
}


def case(
    addresses: list[str] | None = None,
    around: dict[str, str] | None = None,
    subnet: IPv6Network | None = SUBNET,
    old: IPv6Network | None = None,
    **settings: Any,
) -> Case:
    want = Want(NET, NODE, "gw", None, 1390, subnet, old)
    phone = Member(PHONE, "phone", {"authorized": True, "ipAssignments": addresses or ["10.66.0.101"]})
    nets = {ip_network(text): interface for text, interface in (around or {"203.0.1.0/24": "eth0"}).items()}
    return Case({**deepcopy(GOOD), **settings}, {PHONE: phone}, want, IPv4Address("10.66.0.1"), nets)


def route(target: str, via: str | None = None) -> list[dict[str, Any]]:
    return [*GOOD["routes"], {"target": target, "via": via}]


@pytest.mark.parametrize(
    "good",
    [
        case(),
        case(addresses=["10.66.0.101", "2600:db8:0:1:ff:54:f03b:7f83"]),
        case(addresses=["10.66.0.101/24"]),
        case(addresses=["2600:db8:9::1"], subnet=None),  # no ::/0 will turn it into a /0
        case(addresses=["2600:db8:0:9:ff::5"], old=IPv6Network("2600:db8:0:9:ff::/80")),  # ours, cleaned up
        case(around={"2600:db8:0:1::/64": "eth0", "10.0.0.1/32": "eth0"}),
        case(routes=route("192.168.1.0/24", "10.66.0.9"), around={"192.168.1.0/24": "eth0"}),
        case(routes=route("0.0.0.0/0", "10.66.0.1")),
        case(v6AssignMode={"6plane": True}, subnet=None),
        case(multicastLimit=None),
    ],
)
def test_good_networks_pass(good: Case) -> None:
    lint.check(good)


@pytest.mark.parametrize(
    ("bad", "words", "hint"),
    [
        (case(addresses=["10.99.0.5"]), "member 54f03b7f83 has the address 10.99.0.5", "remove 10.99.0.5"),
        (case(addresses=["2600:db8:9::1"]), "2600:db8:9::1, which is in none", "remove 2600:db8:9::1"),
        (case(addresses=["10.66.0.1"]), "10.66.0.1 belongs to member 54f03b7f83", "gateway.address"),
        (case(routes=route("10.1.0.0/0")), "10.1.0.0/0 has no prefix length", "write 10.1.0.0/24"),
        (case(routes=route("10.1.0.0")), "10.1.0.0 has no prefix length", "write 10.1.0.0/24"),
        (case(routes=route("2001:db8::1/64")), "2001:db8::1/64 has bits behind", "write 2001:db8::/64"),
        (case(mtu=5000), "MTU would be 5000", "from 1280 to 2800"),
        (case(mtu=576), "MTU would be 576", "from 1280 to 2800"),
        (case(multicastLimit=0), "multicast limit is 0", "set it to 32"),
        (case(v6AssignMode={"6plane": True, "zt": True}), "6PLANE", "ipv6.mode: off"),
        (case(around={"10.66.0.0/16": "eth0"}), "overlaps 10.66.0.0/16 on eth0", "another range"),
        (case(around={"10.66.0.128/25": "ztabcdefgh"}), "overlaps 10.66.0.128/25 on ztabcdefgh", "another"),
    ],
)
def test_bad_networks_are_refused(bad: Case, words: str, hint: str) -> None:
    with pytest.raises(ZtgateError) as refusal:
        lint.check(bad)
    assert words in refusal.value.message
    assert hint in refusal.value.hint


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ZtgateError) as refusal:
        lint.check(case(mtu=5000, multicastLimit=0, addresses=["10.99.0.5"]))
    assert len(refusal.value.message.splitlines()) == 4


def test_what_is_around() -> None:
    rows = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "0.0.0.0/1", "dev": "wg0"},
        {"dst": "203.0.1.0/24", "dev": "eth0"},
        {"dst": "10.66.0.0/24", "dev": "ztown"},
        {"dst": "172.17.0.1", "dev": "docker0"},
        {"dst": "fe80::/64", "dev": "eth0"},
        {"dst": "ff00::/8", "dev": "eth0", "type": "multicast"},
        {"dst": "127.0.0.0/8", "dev": "lo"},
    ]
    assert {str(net): dev for net, dev in around.parse(rows, "ztown").items()} == {
        "203.0.1.0/24": "eth0", "172.17.0.1/32": "docker0",
    }  # fmt: skip
