"""Whose address is whose, as the firewall is told."""

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from ztgate import derive, firewall, owners
from ztgate.actions import Command
from ztgate.facts.wan import Wan
from ztgate.zerotier import Network

NETWORK, NODE, OTHER = "116be780b4870839", "116be780b4", "54f03b7f83"
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
MAC = derive.mac(NETWORK, OTHER)
WAN = Wan(
    "ens3", IPv4Address("203.0.1.10"), IPv4Network("203.0.1.0/24"), "ens3", (IPv6Address("2600:db8::10"),)
)
ZT = Network(
    *(NETWORK, "OK", "ztx", derive.mac(NETWORK, NODE), 1390, True, True, False),
    addresses4=(IPv4Interface("10.66.0.1/24"),), addresses6=(IPv6Interface("fd00::1/88"),),
    lan4=(), routes=(),
)  # fmt: skip
NONE: owners.Elements = {name: set() for name in owners.SETS}


def test_a_mac_address_leads_to_its_node_and_back() -> None:
    own = derive.mac(NETWORK, NODE)
    assert own != MAC and derive.node_of(MAC, own, NODE) == OTHER
    assert derive.mac("8056c2e21c000050", OTHER).startswith("32:"), "52 is KVM's"


def test_what_is_known_of_whom() -> None:
    found = owners.elements(WAN, ZT, NODE, (OTHER,), {OTHER: ["laptop", "10.66.0.7"]}, SUBNET)
    assert found == {
        "own4": {"203.0.1.10", "10.66.0.1"},
        "own6": {"2600:db8::10", "fd00::1"},
        "owner4": {f"10.66.0.7 . {MAC}"},
        "owner6": {f"{derive.rfc4193(NETWORK, OTHER)} . {MAC}", f"2600:db8:0:1:ff:54:f03b:7f83 . {MAC}"},
    }
    alone = owners.elements(WAN, ZT, NODE, (NODE,), {}, None)
    assert (alone["owner4"], alone["owner6"]) == (set(), set()), "its own are no other's"


def test_only_what_differs_is_told_and_arp_has_its_copy() -> None:
    wanted = {**NONE, "owner4": {"10.66.0.7 . aa"}, "own6": {"fd00::1"}}
    present = {**NONE, "owner4": {"10.66.0.9 . bb"}, "own6": {"fd00::1"}}
    (action,) = owners.plan(wanted, present)
    assert isinstance(action, Command) and action.stdin is not None
    assert action.stdin.splitlines() == [
        "delete element inet ztgate owner4 { 10.66.0.9 . bb }",
        "delete element arp ztgate owner4 { 10.66.0.9 . bb }",
        "add element inet ztgate owner4 { 10.66.0.7 . aa }",
        "add element arp ztgate owner4 { 10.66.0.7 . aa }",
    ]
    assert owners.plan(wanted, wanted) == []
    assert owners.plan(wanted, {}) == [], "no such sets: rules of an earlier version, or none"


def test_refused_packets_are_added_up_by_their_words() -> None:
    def rule(words: str, packets: int, verdict: str) -> dict[str, dict[str, object]]:
        expr = [{"counter": {"packets": packets}}, {verdict: None}]
        return {"rule": {"table": "ztgate", "comment": words, "expr": expr}}

    items = [
        rule("redirects", 2, "drop"), rule("redirects", 3, "drop"), rule("private networks", 1, "reject"),
        rule("new IPv4", 9, "accept"), rule("source routes", 0, "drop"),
        {"rule": {"table": "ztgate", "expr": [{"drop": None}]}},
    ]  # fmt: skip
    others = {"rule": {**rule("redirects", 7, "drop")["rule"], "table": "docker"}}
    said = json.dumps({"nftables": [{"metainfo": {}}, others, *items]})
    assert firewall.shown(lambda argv: (0, said)) == {"refused": {"redirects": 5, "private networks": 1}}
    assert firewall.shown(lambda argv: (1, "no such table")) == {}
