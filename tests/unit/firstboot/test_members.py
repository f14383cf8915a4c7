"""Who is listed, from what the controller says and from what the gateway sees."""

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from ztgate import admit, members
from ztgate.controllers import shapes
from ztgate.controllers.base import Member
from ztgate.controllers.central_v1 import CentralV1
from ztgate.controllers.central_v2 import CentralV2
from ztgate.controllers.self_hosted import SelfHosted
from ztgate.members import Listing, Row, Sight

from .support import GOOD, NETWORK, NODE, FakeController, machine
from .test_http import api

NOW = 1_764_000_000.0
MAC, PHONE_MAC = "32:11:6b:e7:80:b4", "32:54:f0:3b:7f:83"
PHONE, TABLET = "54f03b7f83", "54f03b7f84"
ACTIVE = {"active": True, "expired": False, "address": "203.0.1.7/9993", "lastReceive": 1_763_999_990_000}
GONE = {**ACTIVE, "active": False, "expired": True, "lastReceive": 1_763_999_000_000}


def peer(node: str, *paths: dict[str, Any], role: str = "LEAF") -> dict[str, Any]:
    return {"address": node, "role": role, "latency": 12, "paths": list(paths)}


def neighbour(address: str, confirmed: int, *states: str) -> dict[str, Any]:
    return {"dst": address, "lladdr": PHONE_MAC, "confirmed": confirmed, "state": list(states)}


@pytest.mark.parametrize(
    ("peers", "neighbours", "seen"),
    [
        ([], [], {}),
        ([peer("aaaaaaaaaa", ACTIVE, role="PLANET")], [], {}),
        ([peer(PHONE, GONE, ACTIVE)], [], {PHONE: Sight("direct", 12, NOW - 10)}),
        ([peer(PHONE, GONE)], [], {PHONE: Sight("", 12, NOW - 1000)}),
        ([peer(PHONE)], [], {PHONE: Sight("", 12, 0.0)}),
        (
            [peer(PHONE)],
            [neighbour("10.66.0.101", 5, "REACHABLE")],
            {PHONE: Sight("relayed", 12, NOW - 5, ("10.66.0.101",))},
        ),
        ([], [neighbour("10.66.0.101", 500, "STALE")], {PHONE: Sight("", -1, NOW - 500, ("10.66.0.101",))}),
        ([], [neighbour("10.66.0.101", 5, "FAILED")], {}),
        ([], [{"dst": "10.66.0.9", "state": ["INCOMPLETE"]}], {}),
    ],
)
def test_what_the_gateway_sees(peers: Any, neighbours: Any, seen: dict[str, Sight]) -> None:
    assert members.sights(peers, neighbours, MAC, NODE, NOW) == seen


def row(node: str, state: str, name: str = "", **more: Any) -> Row:
    usual = {"addresses": (), "online": False, "way": "", "latency": -1, "last_seen": 0.0}
    return Row(node, name, state, **{"this_gateway": False, **usual, **more})


def test_rows_and_their_order() -> None:
    settings = {"authorized": True, "ipAssignments": ["10.66.0.101", "2600:db8::5", "fd11::1"]}
    found = {
        PHONE: Member(PHONE, "phone", settings, seen=NOW - 5),
        NODE: Member(NODE, "gateway", {"authorized": True}),
        TABLET: Member(TABLET, "", {"authorized": False}),
        "54f03b7f85": Member("54f03b7f85", "an old one", {"authorized": False}, refused=True),
    }
    sights = {PHONE: Sight("direct", 12, NOW - 10), NODE: Sight(addresses=("10.66.0.1", "fd11::2"))}
    assert members.rows(found, sights, NODE, asked=True) == (
        row(TABLET, "waiting"),
        row("54f03b7f85", "put out", "an old one"),
        row(NODE, "authorized", "gateway", addresses=("10.66.0.1",), online=True, this_gateway=True),
        row(
            PHONE, "authorized", "phone", addresses=("10.66.0.101", "2600:db8::5"),
            online=True, way="direct", latency=12, last_seen=NOW - 5,
        ),
    )  # fmt: skip


def test_the_table() -> None:
    rows = (
        row(TABLET, "waiting", last_seen=NOW - 300),
        row(NODE, "authorized", "gateway", addresses=("10.66.0.1",), this_gateway=True),
        row(PHONE, "authorized", "phone", addresses=("10.66.0.7", "2600:db8::7"), way="direct", latency=12),
        row("54f03b7f86", "put out", "x" * 40, last_seen=NOW - 200_000),
    )
    assert members.text(Listing(NETWORK, True, "", rows), NOW) == (
        "NODE        NAME                          STATE       SEEN FROM HERE\n"
        "54f03b7f84                                waiting     5 min ago\n"
        "116be780b4  gateway                       authorized  this gateway\n"
        "            10.66.0.1\n"
        "54f03b7f83  phone                         authorized  direct, 12 ms\n"
        "            10.66.0.7\n"
        "            2600:db8::7\n"
        "54f03b7f86  xxxxxxxxxxxxxxxxxxxxxxxxxxx…  put out     2 days ago\n"
    )
    assert members.text(Listing(NETWORK, True, "", ()), NOW) == "nobody yet\n"


@hypothesis.given(strategies.text(), strategies.floats(0, 4e9), strategies.integers(-1, 99999))
def test_no_line_is_too_long(name: str, last: float, latency: int) -> None:
    one = row(
        PHONE, "authorized", name, last_seen=last, way="relayed" if latency >= 0 else "", latency=latency
    )
    assert max(map(len, members.text(Listing(NETWORK, True, "", (one,)), NOW).splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (GOOD, ""),
        (f"network: {NETWORK}\n", "no token for the controller"),
        (f"network: {NETWORK}\ncontroller: {{kind: none}}\n", "controller.kind is none"),
    ],
)
def test_with_and_without_a_token(
    text: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = FakeController({"routes": []})
    controller.rows = {PHONE: {"authorized": True, "name": "phone"}, TABLET: {"authorized": False}}
    monkeypatch.setattr(admit, "open_controller", lambda *_: controller)
    found = members.listing(machine(tmp_path, controller, text), None)
    shown = json.loads(members.as_json(found))
    assert shown["asked"] is not bool(note)
    assert note in found.note
    states = {each.node: each.state for each in found.members}
    if note:  # the service knows one peer, and itself
        assert states == {PHONE: "", NODE: ""}
        assert "unknown" in members.text(found, NOW)
    else:
        assert states == {PHONE: "authorized", TABLET: "waiting"}


V1 = {"nodeId": PHONE, "lastSeen": 1_764_000_000_000}
V2 = {"deviceId": PHONE, "lastSeenTime": "2025-11-24T16:00:00Z"}
THEN, LONG_AGO = "2025-11-24T15:00:00.123456789Z", "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("kind", "answer", "refused", "seen"),
    [
        (SelfHosted, {"id": PHONE, "authorized": False, "lastDeauthorizedTime": 0}, False, 0.0),
        (SelfHosted, {"id": PHONE, "authorized": False, "lastDeauthorizedTime": 1}, True, 0.0),
        (SelfHosted, {"id": PHONE, "authorized": True, "lastDeauthorizedTime": 1}, False, 0.0),
        (SelfHosted, {"id": PHONE}, False, 0.0),
        (CentralV1, {**V1, "config": {"authorized": False, "lastDeauthorizedTime": 0}}, False, NOW),
        (CentralV1, {**V1, "config": {"authorized": False, "lastDeauthorizedTime": 1}}, True, NOW),
        (CentralV1, {**V1, "lastSeen": None, "config": None}, False, 0.0),
        (CentralV2, {**V2, "status": "not_authorized"}, False, NOW),
        (CentralV2, {**V2, "status": "not_authorized", "lastDeauthorizedTime": THEN}, True, NOW),
        (CentralV2, {**V2, "status": "not_authorized", "lastDeauthorizedTime": LONG_AGO}, False, NOW),
        (CentralV2, {**V2, "status": "rejected"}, True, NOW),
        (CentralV2, {**V2, "status": "authorized", "lastDeauthorizedTime": THEN}, False, NOW),
    ],
)
def test_who_waits_and_who_was_put_out(kind: Any, answer: Any, refused: bool, seen: float) -> None:
    rows: Any = {"data": [answer]} if kind is SelfHosted else [answer]
    member = kind(api((200, json.dumps(rows)))[0]).members(NETWORK)[PHONE]
    assert (member.refused, member.seen) == (refused, seen)


@hypothesis.given(strategies.none() | strategies.booleans() | strategies.text() | strategies.integers())
def test_any_value_is_a_moment(value: Any) -> None:
    assert shapes.moment(value) >= 0.0
