"""From `ip -j` to the WAN."""

import json
from ipaddress import IPv4Address, IPv6Network
from typing import Any

import pytest
from ztgate.errors import WaitingError
from ztgate.facts import wan

from .support import LINKS, ROUTES4, ROUTES6

Rows = list[dict[str, Any]]


def rows(text: str) -> Rows:
    read: Rows = json.loads(text)
    return read


def test_dhcp_and_router_advertisement() -> None:
    seen = wan.parse(rows(LINKS), rows(ROUTES4), rows(ROUTES6))
    assert (seen.interface, seen.address, seen.interface6) == ("ens3", IPv4Address("203.0.1.10"), "ens3")
    assert str(seen.network) == "203.0.1.0/24"
    assert seen.prefixes == (IPv6Network("2600:db8:0:1::/64"),)
    assert seen.interfaces == ("ens3",)


def test_no_ipv6_route_means_no_ipv6() -> None:
    seen = wan.parse(rows(LINKS), rows(ROUTES4), [])
    assert (seen.interface6, seen.prefixes) == ("", ())


def test_prefix_of_a_128_comes_from_the_link_route() -> None:
    links = rows(LINKS)
    links[0]["addr_info"][1] |= {"local": "2600:db8:0:1::abc", "prefixlen": 128}
    assert wan.parse(links, rows(ROUTES4), rows(ROUTES6)).prefixes == (IPv6Network("2600:db8:0:1::/64"),)


@pytest.mark.parametrize(
    "change",
    [
        {"local": "fd00::1"},
        {"deprecated": True},
        {"temporary": True},
        {"prefixlen": 80},
    ],
)
def test_addresses_that_give_no_prefix(change: dict[str, Any]) -> None:
    links = rows(LINKS)
    links[0]["addr_info"][1] |= change
    assert wan.parse(links, rows(ROUTES4), rows(ROUTES6)[1:]).prefixes == ()


def test_best_default_route_wins_and_zerotier_never_does() -> None:
    routes = [
        {"dst": "default", "dev": "zt1", "metric": 0},
        {"dst": "default", "dev": "wlan0", "metric": 3000},
        {"dst": "default", "dev": "ens3", "metric": 100},
    ]
    assert wan.default_interface(routes) == "ens3"
    assert wan.default_interface([{"dst": "default", "nexthops": [{"dev": "eth1"}]}]) == "eth1"
    assert wan.default_interface([]) == ""


def test_a_name_that_would_end_a_text_in_a_rule_is_nobodys() -> None:
    """The kernel allows a quotation mark in an interface's name."""
    texts = [text.replace("ens3", 'en\\"3') for text in (LINKS, ROUTES4, ROUTES6)]
    said = dict(zip((*wan.LOOK4, ("ip", "-j", "-6", "route", "show")), texts, strict=True))
    with pytest.raises(WaitingError, match="cannot be understood"):
        wan.read(lambda argv: said[tuple(argv)])


NO_CARRIER = [{"ifname": "eth0", "flags": ["UP"], "link_type": "ether", "addr_info": []}]
NO_ADDRESS = [{"ifname": "eth0", "flags": ["UP", "LOWER_UP"], "link_type": "ether", "addr_info": []}]


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ([], "no network card"),
        (NO_CARRIER, "no link on eth0: is the cable plugged in?"),
        (NO_ADDRESS, "no IPv4 address yet on eth0: waiting for DHCP"),
        (rows(LINKS), "no default route, though ens3 has an IPv4 address"),
    ],
)
def test_reasons_to_wait(links: Rows, reason: str) -> None:
    with pytest.raises(WaitingError, match=reason.replace("?", r"\?")):
        wan.parse(links, [], [])
