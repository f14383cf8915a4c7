"""What a network becomes: nothing that is there is lost."""

from copy import deepcopy
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from ztgate import derive, register
from ztgate.controllers.base import Member
from ztgate.errors import ZtgateError
from ztgate.register import DEFAULT4, DEFAULT6, Want

NET, NODE, OTHER = "116be780b4870839", "116be780b4", "54f03b7f83"
WAN = IPv4Network("203.0.1.0/24")
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
OLD = IPv6Network("2600:db8:0:9:ff::/80")
FULL: dict[str, Any] = {
    "mtu": 2800,
    "routes": [
        {"target": "10.66.0.0/24", "via": None, "flags": 0},
        {"target": "192.168.50.0/24", "via": "10.66.0.9"},
    ],
    "ipAssignmentPools": [{"ipRangeStart": "10.66.0.1", "ipRangeEnd": "10.66.0.100"}],
    "v4AssignMode": {"zt": False},
    "v6AssignMode": {"6plane": True, "rfc4193": False, "zt": False},
}


def want(**changes: Any) -> Want:
    values = {"network": NET, "node": NODE, "name": "gw", "address": None, "mtu": 1390, "subnet": SUBNET}
    return Want(**(values | changes))


def test_derivations_agree_with_a_live_daemon() -> None:
    """Values of zerotier-one 1.14.1."""
    assert derive.interface(NET) == "ztshpwbcen"
    assert str(derive.rfc4193(NET, OTHER)) == "fd11:6be7:80b4:8708:3999:9354:f03b:7f83"
    assert str(derive.member_address(SUBNET, OTHER)) == "2600:db8:0:1:ff:54:f03b:7f83"


def test_existing_network_keeps_all_it_has() -> None:
    before = deepcopy(FULL)
    changes = register.plan_ranges(before, want(), WAN)
    assert before == FULL, "the plan changes nothing by itself"
    assert changes["routes"] == [*FULL["routes"], {"target": str(SUBNET), "via": None}]
    assert changes["ipAssignmentPools"][0] == FULL["ipAssignmentPools"][0]
    assert changes["ipAssignmentPools"][1] == {
        "ipRangeStart": "2600:db8:0:1:ff::",
        "ipRangeEnd": "2600:db8:0:1:ff:ffff:ffff:ffff",
    }
    assert changes["v6AssignMode"] == {"6plane": True, "rfc4193": True, "zt": True}
    assert changes["mtu"] == 1390
    assert "v4AssignMode" not in changes, "somebody switched it off"


def test_second_plan_is_empty() -> None:
    for settings in (FULL, {}):
        after = settings | register.plan_ranges(settings, want(), WAN)
        assert register.plan_ranges(after, want(), WAN) == {}
        vias: dict[register.Target, str] = {DEFAULT4: "10.66.0.1", DEFAULT6: "fd11::1"}
        published = after | register.plan_default_routes(after, vias)
        assert register.plan_default_routes(published, vias) == {}
        assert register.plan_withdrawal(published, vias) == {}


def test_empty_network_gets_a_range() -> None:
    changes = register.plan_ranges({}, want(subnet=None), WAN)
    lan = IPv4Network(changes["routes"][0]["target"])
    assert lan.subnet_of(IPv4Network("10.0.0.0/8")) and lan.prefixlen == 24
    assert changes["v4AssignMode"] == {"zt": True}
    assert changes == register.plan_ranges({}, want(subnet=None), WAN), "always the same one"
    other = register.plan_ranges({}, want(subnet=None), lan)
    assert not lan.overlaps(IPv4Network(other["routes"][0]["target"])), "clear of the WAN"


def test_a_new_prefix_replaces_ours_in_the_right_order() -> None:
    before = FULL | register.plan_ranges(FULL, want(subnet=OLD), WAN)
    wish = want(old_subnet=OLD)
    first = before | register.plan_ranges(before, wish, WAN)
    targets = [row["target"] for row in first["routes"]]
    assert str(OLD) in targets and str(SUBNET) in targets, "members still have addresses of the old one"
    assert not any(row["ipRangeStart"] == str(OLD[0]) for row in first["ipAssignmentPools"])
    last = register.plan_cleanup(first, wish)
    assert [row["target"] for row in last["routes"]] == ["10.66.0.0/24", "192.168.50.0/24", str(SUBNET)]
    assert register.plan_cleanup(first | last, wish) == {}
    member = Member(OTHER, "", {"ipAssignments": ["10.66.0.7", "2600:db8:0:9:ff::7"]})
    assert register.plan_renumbering([member], wish) == {OTHER: {"ipAssignments": ["10.66.0.7"]}}


def member(*addresses: str, node: str = OTHER) -> dict[str, Member]:
    return {node: Member(node, "", {"ipAssignments": list(addresses)})}


@pytest.mark.parametrize(
    ("wish", "members", "expected"),
    [
        (want(), {}, "10.66.0.101"),  # the first one outside the pool
        (want(), member("10.66.0.101"), "10.66.0.102"),
        (want(), member("10.66.0.33", node=NODE), "10.66.0.33"),  # it has one already
        (want(), member("172.16.0.1", node=NODE), "10.66.0.101"),  # outside every range
        (want(address=IPv4Address("10.66.0.5")), {}, "10.66.0.5"),
    ],
)
def test_address(wish: Want, members: dict[str, Member], expected: str) -> None:
    assert str(register.choose_address(FULL, wish, members)) == expected


def test_address_inside_the_pool_when_all_else_is_taken() -> None:
    settings = {
        "routes": [{"target": "10.1.0.0/30"}],
        "ipAssignmentPools": [{"ipRangeStart": "10.1.0.1", "ipRangeEnd": "10.1.0.2"}],
    }
    assert str(register.choose_address(settings, want(), member("10.1.0.1"))) == "10.1.0.2"
    with pytest.raises(ZtgateError, match="no free IPv4 address"):
        register.choose_address(settings, want(), member("10.1.0.1", "10.1.0.2"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.67.0.1", r"outside the network's ranges \(10.66.0.0/24\)"),
        ("10.66.0.255", "first or the last"),
        ("10.66.0.7", f"belongs to member {OTHER}"),
    ],
)
def test_bad_address(address: str, message: str) -> None:
    with pytest.raises(ZtgateError, match=message):
        register.choose_address(FULL, want(address=IPv4Address(address)), member("10.66.0.7"))


ADDRESS = IPv4Address("10.66.0.1")
DONE = {"authorized": True, "ipAssignments": ["2600:db8:0:1:ff::5", "10.66.0.1"], "noAutoAssignIps": False}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, {"authorized": True, "ipAssignments": ["10.66.0.1"], "name": "gw"}),
        (Member(NODE, "gw", DONE), {}),
        (Member(NODE, "x", DONE), {"name": "gw"}),
        (Member(NODE, "gw", DONE | {"noAutoAssignIps": True}), {"noAutoAssignIps": False}),
        # Its address moves, its IPv6 address stays, and one outside every range goes.
        (
            Member(NODE, "gw", DONE | {"ipAssignments": ["2600:db8::5", "10.66.0.9", "172.16.0.1"]}),
            {"ipAssignments": ["2600:db8::5", "10.66.0.1"]},
        ),
    ],
)
def test_member(before: Member | None, expected: dict[str, Any]) -> None:
    assert register.plan_member(before, want(), ADDRESS) == expected


def routes(*pairs: tuple[str, str | None]) -> dict[str, Any]:
    return {"routes": [{"target": target, "via": via} for target, via in pairs]}


def test_foreign_default_routes_are_seen_in_any_spelling() -> None:
    settings = routes(("0.0.0.0/0", "10.66.0.9"), ("::0/0", "fd00::1"), ("0.0.0.0/0", "10.66.0.1"))
    assert register.foreign_defaults(settings, ["10.66.0.1"]) == [
        (DEFAULT4, "10.66.0.9"),
        (DEFAULT6, "fd00::1"),
    ]
    assert register.foreign_defaults(settings, ["10.66.0.1", "10.66.0.9", "fd00:0::1"]) == []


def test_a_next_hop_is_withdrawn_first_never_edited() -> None:
    settings = routes(("10.66.0.0/24", None), ("0.0.0.0/0", "10.66.0.9"))
    vias: dict[register.Target, str] = {DEFAULT4: "10.66.0.1"}
    away = register.plan_withdrawal(settings, vias)
    assert away == routes(("10.66.0.0/24", None))
    assert register.plan_default_routes(settings, vias) == {}, "not beside the old one"
    assert register.plan_default_routes(away, vias)["routes"][-1] == {
        "target": "0.0.0.0/0",
        "via": "10.66.0.1",
    }


def test_switched_off_is_withdrawn() -> None:
    settings = routes(("0.0.0.0/0", "10.66.0.1"), ("::/0", "fd00::1"))
    assert register.plan_withdrawal(settings, {DEFAULT4: "10.66.0.1", DEFAULT6: ""}) == routes(
        ("0.0.0.0/0", "10.66.0.1")
    )


def test_orphans() -> None:
    members = [Member(OTHER, "", {"ipAssignments": ["10.66.0.7", "172.16.0.1", "2600:db8::1/80"]})]
    settings = routes(("10.66.0.0/24", None), ("0.0.0.0/0", "10.66.0.1"), ("::/0", "fd00::1"))
    assert register.orphans(members, settings) == [(OTHER, "172.16.0.1"), (OTHER, "2600:db8::1")]


@pytest.mark.parametrize(
    ("changes", "after", "expected"),
    [
        (routes(("::/0", "fd00:0::1")), routes(("::/0", "fd00::1")), []),
        (routes(("::/0", "fd00::1")), routes(), ["routes"]),
        ({"v6AssignMode": {"zt": True, "6plane": False}}, {"v6AssignMode": {"zt": True}}, []),
        ({"v6AssignMode": {"zt": True}}, {"v6AssignMode": {"zt": False}}, ["v6AssignMode"]),
        ({"ipAssignments": ["10.66.0.1"]}, {"ipAssignments": ["10.66.0.1", "2600::1"]}, []),
        ({"ipAssignments": ["10.66.0.1"]}, {}, ["ipAssignments"]),
        ({"mtu": 1390}, {"mtu": 2800}, ["mtu"]),
    ],
)
def test_reading_back(changes: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    assert register.not_taken_over(changes, after) == expected
