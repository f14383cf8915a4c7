"""New Central's shapes: read however they come, written as its description has them."""

import json
from typing import Any

import pytest
from ztgate.controllers.central_v1 import CentralV1
from ztgate.controllers.central_v2 import CentralV2
from ztgate.errors import ZtgateError
from ztgate.secret import Secret

from .support import NODE
from .test_http import NET, Reply, Session, api

PHONE = "54f03b7f83"
POOL4 = {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}
POOL6 = {"ipRangeStart": "2600:db8::", "ipRangeEnd": "2600:db8::ff"}
LAN = {"target": "10.66.0.0/24", "via": None}
CONFIG: dict[str, Any] = {
    "mtu": 2800, "multicastLimit": 32, "private": True, "dns": {"domain": "", "servers": []},
    "routes": [LAN], "v4Subnet": "", "v6Subnet": "",
    "v4IpAssignmentPools": [POOL4], "v6IpAssignmentPools": [POOL6],
    "v4AssignmentMode": {"zt": True}, "v6AssignmentMode": {"6plane": False, "rfc4193": True, "zt": False},
}  # fmt: skip
MEMBER: dict[str, Any] = {
    "deviceId": PHONE, "name": "phone", "status": "authorized", "noAutoAssignIps": False,
    "ipv4Assignments": ["10.66.0.101"], "ipv6Assignments": ["2600:db8::5"], "ipAssignmentRfc4193": "fd00::1",
}  # fmt: skip


def v2(*replies: Reply) -> tuple[CentralV2, Session]:
    made, session, _ = api(*replies)
    return CentralV2(made), session


def ok(value: Any) -> Reply:
    return 200, json.dumps(value)


def asked(session: Session) -> list[tuple[str, str, Any]]:
    """What was asked, apart from reading."""
    calls = [(m, url.partition("/api/v1")[2], json.loads(o["data"] or "null")) for m, url, o in session.asked]
    return [call for call in calls if call[0] != "GET"]


@pytest.mark.parametrize("lost", ["routes", "v4IpAssignmentPools", "v6IpAssignmentPools"])
def test_what_lacks_a_list_is_not_a_network_with_an_empty_one(lost: str) -> None:
    reply = {"config": {key: value for key, value in CONFIG.items() if key != lost}}
    central, session = v2(ok(reply))
    for use in (lambda: central.network(NET), lambda: central.write_network(NET, {"routes": []})):
        with pytest.raises(ZtgateError, match="no network"):
            use()
    assert asked(session) == []


@pytest.mark.parametrize("reply", [{"config": CONFIG}, {"network": {"config": CONFIG}}])
def test_a_network_is_read(reply: Any) -> None:
    assert v2(ok(reply))[0].network(NET).settings == {
        "mtu": 2800, "multicastLimit": 32, "routes": [LAN], "ipAssignmentPools": [POOL4, POOL6],
        "v4AssignMode": {"zt": True}, "v6AssignMode": {"6plane": False, "rfc4193": True, "zt": False},
        "dns": {"domain": "", "servers": []},
    }  # fmt: skip


# What the config says, the routes that come of it, and what is written when another one is added.
SUBNETS = [
    ({"routes": [{"target": "10.66.0.0/24", "via": ""}]}, [LAN], [LAN]),
    ({"v4Subnet": "10.66.0.0/24"}, [LAN], [LAN]),
    ({"routes": [], "v4Subnet": "10.66.0.0/24"}, [LAN], []),
    ({"routes": None, "v6Subnet": "fd00::/64"}, [{"target": "fd00::/64", "via": None}], []),
]


@pytest.mark.parametrize(("config", "read", "kept"), SUBNETS)
def test_a_subnet_counts_as_a_range_and_is_not_made_a_route(config: Any, read: Any, kept: Any) -> None:
    central, session = v2(ok({"config": {**CONFIG, **config}}))
    routes = central.network(NET).settings["routes"]
    assert routes == read
    new = {"target": "0.0.0.0/0", "via": "10.66.0.1"}
    central.write_network(NET, {"routes": [*routes, new]})
    assert asked(session) == [("POST", f"/network/{NET}", {"config": {"routes": [*kept, new]}})]


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({"mtu": 1390}, {"mtu": 1390}),
        ({"v4AssignMode": {"zt": True}}, {"v4AssignmentMode": {"zt": True}}),
        (
            {"ipAssignmentPools": [POOL6, POOL4]},
            {"v4IpAssignmentPools": [POOL4], "v6IpAssignmentPools": [POOL6]},
        ),
        ({"ipAssignmentPools": [POOL4]}, {"v4IpAssignmentPools": [POOL4], "v6IpAssignmentPools": []}),
    ],
)
def test_a_network_is_written_with_its_own_names(changes: Any, config: Any) -> None:
    central, session = v2(ok({}))
    central.write_network(NET, changes)
    assert asked(session) == [("POST", f"/network/{NET}", {"config": config})]


@pytest.mark.parametrize(
    "reply",
    [
        [MEMBER],
        {"items": [MEMBER]},
        {"members": [{"member": MEMBER}]},
        [{**MEMBER, "deviceId": None, "nodeId": PHONE.upper(), "status": "MEMBER_STATUS_AUTHORIZED"}],
    ],
)
def test_members_are_read(reply: Any) -> None:
    phone = v2(ok(reply))[0].members(NET)[PHONE]
    assert (phone.node, phone.name, phone.addresses) == (PHONE, "phone", ("10.66.0.101", "2600:db8::5"))
    assert phone.settings == {
        "authorized": True, "noAutoAssignIps": False, "ipAssignments": ["10.66.0.101", "2600:db8::5"],
    }  # fmt: skip


@pytest.mark.parametrize("status", ["not_authorized", "rejected", "", None])
def test_only_authorized_is_authorized(status: str | None) -> None:
    assert not v2(ok([{**MEMBER, "status": status}]))[0].members(NET)[PHONE].settings["authorized"]


WANTED = {"authorized": True, "ipAssignments": ["10.66.0.1", "fd00::5"], "name": "gw"}
FIELDS = {"name": "gw", "ipv4Assignments": ["10.66.0.1"], "ipv6Assignments": ["fd00::5"]}
PATH = f"/network/{NET}/member"


@pytest.mark.parametrize(
    ("node", "changes", "calls"),
    [
        (NODE, WANTED, [("", [{"deviceId": NODE, **FIELDS}]), (f"/{NODE}/authorize", None)]),
        (PHONE, WANTED, [(f"/{PHONE}", FIELDS), (f"/{PHONE}/authorize", None)]),
        (PHONE, {"authorized": True}, [(f"/{PHONE}/authorize", None)]),
        (
            PHONE,
            {"authorized": False, "name": "x"},
            [(f"/{PHONE}/de-authorize", None), (f"/{PHONE}", {"name": "x"})],
        ),
        (NODE, {"authorized": False}, [("", [{"deviceId": NODE}])]),
        (
            PHONE,
            {"ipAssignments": ["10.66.0.1"]},
            [(f"/{PHONE}", {"ipv4Assignments": ["10.66.0.1"], "ipv6Assignments": []})],
        ),
        (PHONE, {"noAutoAssignIps": False}, [(f"/{PHONE}", {"noAutoAssignIps": False})]),
    ],
)
def test_a_member_is_written(node: str, changes: Any, calls: Any) -> None:
    central, session = v2(ok([MEMBER]))
    central.write_member(NET, node, changes)
    assert asked(session) == [("POST", PATH + tail, body) for tail, body in calls]


@pytest.mark.parametrize(("node", "calls"), [(NODE, []), (PHONE, [("DELETE", PATH, [{"deviceId": PHONE}])])])
def test_a_member_is_deleted_if_it_is_there(node: str, calls: Any) -> None:
    central, session = v2(ok([MEMBER]))
    central.delete_member(NET, node)
    assert asked(session) == calls


@pytest.mark.parametrize(
    ("reply", "message", "hint"),
    [
        ((401, '{"message": "unauthorized"}'), "does not accept the token (401)", "service account"),
        ((402, ""), "does not offer its API to this organization (402)", "Essential"),
        ((403, '{"message": "upgrade your plan"}'), "(403): upgrade your plan", "Essential"),
        ((403, '{"message": "forbidden"}'), f"not for network {NET}, or there is none (403)", "Essential"),
        ((404, ""), f"knows no network {NET} (404)", "network:"),
        (
            (400, '{"code": 400, "message": "bad", "details": [{"field": "mtu", "message": "too big"}]}'),
            "400 to GET /network/116be780b4870839: bad; mtu: too big",
            "controller.kind",
        ),
        ((418, '["no object"]'), "answered 418", "controller.kind"),
        ((200, "[]"), "something without a network", "controller.url"),
    ],
)
def test_refusals_in_words(reply: Reply, message: str, hint: str) -> None:
    with pytest.raises(ZtgateError) as caught:
        v2(reply)[0].network(NET)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "changed",
    [
        {"v6AssignmentMode": 7},
        {"v4Subnet": "lab"},
        {"mtu": "much"},
        {"routes": 7},
        {"v6IpAssignmentPools": 7},
    ],
)
def test_what_cannot_be_read_is_no_network(changed: Any) -> None:
    with pytest.raises(ZtgateError, match="something else than a network"):
        v2(ok({"config": {**CONFIG, **changed}}))[0].network(NET)


@pytest.mark.parametrize(
    "reply", [{"message": "no list"}, [{"name": "nobody"}], [{**MEMBER, "ipv6Assignments": 7}]]
)
def test_what_is_no_list_of_members_is_no_network_without_members(reply: Any) -> None:
    with pytest.raises(ZtgateError, match="new Central"):
        v2(ok(reply))[0].members(NET)


def test_a_token_never_comes_back_in_an_error() -> None:
    secret = Secret("Zq8nYb4m").reveal()
    made, *_ = api((418, '{"message": "what is Zq8nYb4m?"}'), headers=CentralV2.headers(secret))
    with pytest.raises(ZtgateError, match=r"what is …\?"):
        CentralV2(made).network(NET)


FORBIDDEN, EMPTY = (403, '{"message": "permission denied"}'), (400, '{"code": 400, "message": "empty"}')


@pytest.mark.parametrize(
    ("replies", "written", "refused"),
    [
        ([ok({})], [{}], ""),
        ([FORBIDDEN], [{}], "may read network"),
        ([EMPTY, ok({})], [{}, {"name": "n"}], ""),
        ([EMPTY, FORBIDDEN], [{}, {"name": "n"}], "may read network"),
        ([EMPTY, EMPTY], [{}, {"name": "n"}], ""),
        ([(403, '{"message": "not in your plan"}')], [{}], "does not offer its API"),
        ([(401, "")], [{}], "does not accept the token"),
    ],
)
def test_power_is_tried_without_changing_anything(replies: Any, written: Any, refused: str) -> None:
    central, session = v2(ok({"name": "n"}), *replies)
    if refused:
        with pytest.raises(ZtgateError, match=refused):
            central.check_power(NET)
    else:
        central.check_power(NET)
    assert asked(session) == [("POST", f"/network/{NET}", body) for body in written]


@pytest.mark.parametrize(
    ("user", "rights", "delete", "refused"),
    [
        ("me", {"r": True, "a": True, "m": True, "d": True}, True, ""),
        ("me", {"r": True, "a": True, "m": True}, False, ""),
        ("me", {"r": True, "a": True, "m": True}, True, "but not delete members"),
        ("me", {"r": True, "a": True}, False, "but not change it"),
        ("me", {"r": True}, True, "but not change it or authorize members or delete members"),
        ("owner", {"r": True}, True, ""),
        ("", None, False, "does not accept the token"),
    ],
)
def test_power_in_v1_is_what_the_network_grants(user: str, rights: Any, delete: bool, refused: str) -> None:
    network = {"ownerId": "owner", "permissions": {user: rights} if rights else {}}
    made, session, _ = api(ok({"user": {"id": user} if user else None}), ok(network))
    if refused:
        with pytest.raises(ZtgateError, match=refused):
            CentralV1(made).check_power(NET, delete=delete)
    else:
        CentralV1(made).check_power(NET, delete=delete)
    assert {method for method, _, _ in session.asked} == {"GET"}


@pytest.mark.parametrize(
    ("reply", "refused"), [(ok({}), False), ((401, ""), True), ((403, ""), True), ((400, ""), False)]
)
def test_power_in_v1_of_who_is_not_named_is_tried_with_an_empty_update(reply: Reply, refused: bool) -> None:
    network = {"ownerId": "owner", "permissions": {"somebody": {"r": True}}}
    made, session, _ = api(ok({"user": {"id": "me"}}), ok(network), reply)
    if refused:
        with pytest.raises(ZtgateError, match="may read network"):
            CentralV1(made).check_power(NET)
    else:
        CentralV1(made).check_power(NET)
    assert asked(session) == [("POST", f"/network/{NET}", {})]
