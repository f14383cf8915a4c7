from collections.abc import Iterator
from typing import Any

import pytest

from lab.central import Central
from lab.central_upstream import Upstream
from lab.central_v2 import CentralV2
from lab.httpd import HttpServer
from tests.unit.lab.fakes import CONTROLLER, FOREIGN, NODE, NWID, STRANGER, TOKEN, Api, FakeController, Json

NETWORK, MEMBERS = f"/network/{NWID}", f"/network/{NWID}/member"
MISSING = f"/network/{CONTROLLER}ffffff"
POOL4 = {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}
POOL6 = {"ipRangeStart": "fd00::1", "ipRangeEnd": "fd00::ff"}


class V2(Api):
    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.call(method, f"/api/v2{path}", body, Authorization=f"Bearer {self.token}")

    def ok(self, method: str, path: str, body: object = None) -> Any:
        status, value = self.ask(method, path, body)
        assert status == 200, value
        return value


@pytest.fixture
def api(upstream: Upstream) -> Iterator[V2]:
    with HttpServer(CentralV2(upstream, TOKEN, frozenset({FOREIGN}))) as server:
        yield V2(server.port)


@pytest.mark.parametrize(
    ("method", "path", "authorization", "status"),
    [
        ("GET", "/org", "", 401),
        ("GET", "/org", f"token {TOKEN}", 401),
        ("GET", "/org", "Bearer wrong", 401),
        ("GET", "/org", f"Bearer {TOKEN}", 200),
        ("GET", NETWORK, f"Bearer {TOKEN}", 200),
        ("GET", f"/network/{FOREIGN}", f"Bearer {TOKEN}", 403),
        ("POST", f"/network/{FOREIGN}/member/{NODE}/authorize", f"Bearer {TOKEN}", 403),
        ("GET", MISSING, f"Bearer {TOKEN}", 404),
        ("POST", MISSING, f"Bearer {TOKEN}", 404),
        ("GET", f"{MISSING}/member", f"Bearer {TOKEN}", 404),
        ("GET", f"{MEMBERS}/{STRANGER}", f"Bearer {TOKEN}", 404),
        ("POST", f"{MEMBERS}/{STRANGER}", f"Bearer {TOKEN}", 404),
        ("POST", f"{MEMBERS}/{STRANGER}/authorize", f"Bearer {TOKEN}", 404),
        ("DELETE", f"{MEMBERS}/{STRANGER}", f"Bearer {TOKEN}", 404),
    ],
)
def test_status(api: V2, method: str, path: str, authorization: str, status: int) -> None:
    got, body = api.call(method, f"/api/v2{path}", Authorization=authorization)
    assert got == status
    assert status == 200 or set(body) == {"message"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (NETWORK, {"routes": []}, "routes"),
        (NETWORK, {"config": {"ipAssignmentPools": []}}, "config.ipAssignmentPools"),
        (NETWORK, {"config": {"v4AssignMode": {}}}, "config.v4AssignMode"),
        (NETWORK, {"config": {"mtu": "1390"}}, "config.mtu"),
        (NETWORK, [1], ""),
        (MEMBERS, {"deviceId": NODE}, "deviceId"),
        (MEMBERS, [{"name": "gw"}], "deviceId"),
        (MEMBERS, [{"deviceId": NODE, "authorized": True}], "authorized"),
        (f"{MEMBERS}/{NODE}", {"ipAssignments": []}, "ipAssignments"),
    ],
)
def test_what_the_description_does_not_have_is_refused(api: V2, path: str, body: object, field: str) -> None:
    status, said = api.ask("POST", path, body)
    assert (status, said["code"]) == (400, 400)
    assert [row["field"] for row in said["details"]] == [field]


def test_a_network_has_the_shape_of_the_description(api: V2) -> None:
    network = api.ok("GET", NETWORK)
    assert set(network) == {
        "id", "name", "description", "kind", "networkGroupId", "creationTime", "lastModified", "config",
    }  # fmt: skip
    assert set(network["config"]) == {
        "dns", "enableBroadcast", "mtu", "multicastLimit", "private", "routes", "v4AssignmentMode",
        "v4IpAssignmentPools", "v4Subnet", "v6AssignmentMode", "v6IpAssignmentPools", "v6Subnet",
    }  # fmt: skip
    assert (network["id"], network["name"]) == (NWID, "old")
    assert network["creationTime"] == "2026-11-22T11:49:17.663000Z"


def test_only_what_is_given_is_changed(api: V2, controller: FakeController) -> None:
    written: Json = {
        "mtu": 1390, "routes": [{"target": "10.66.0.0/24", "via": None}],
        "v4IpAssignmentPools": [POOL4], "v6IpAssignmentPools": [POOL6],
        "v6AssignmentMode": {"6plane": False, "rfc4193": True, "zt": True},
    }  # fmt: skip
    api.ok("POST", NETWORK, {"config": written, "description": "mine"})
    assert controller.networks[NWID]["ipAssignmentPools"] == [POOL4, POOL6]
    assert controller.networks[NWID]["v6AssignMode"]["rfc4193"]
    after = api.ok("POST", NETWORK, {"config": {"v4IpAssignmentPools": []}})
    assert {key: after["config"][key] for key in written} == {**written, "v4IpAssignmentPools": []}
    assert (after["name"], after["description"]) == ("old", "mine")
    before = dict(controller.networks[NWID])
    api.ok("POST", NETWORK, {})
    assert controller.networks[NWID] == before


def test_a_member_is_added_and_then_authorized(api: V2, controller: FakeController) -> None:
    body = {"deviceId": NODE, "name": "gw", "ipv4Assignments": ["10.66.0.1"], "ipv6Assignments": ["fd00::5"]}
    (added,) = api.ok("POST", MEMBERS, [body])
    assert (added["status"], added["name"]) == ("not_authorized", "gw")
    assert controller.members[NWID][NODE]["ipAssignments"] == ["10.66.0.1", "fd00::5"]
    assert api.ok("POST", f"{MEMBERS}/{NODE}/authorize")["status"] == "authorized"
    member = api.ok("POST", f"{MEMBERS}/{NODE}", {"ipv4Assignments": [], "description": "d"})
    assert (member["ipv4Assignments"], member["ipv6Assignments"]) == ([], ["fd00::5"])
    assert set(member) == {
        "activeBridge", "agentVersion", "arch", "capabilities", "creationTime", "description", "deviceId",
        "identity", "ipAssignment6plane", "ipAssignmentRfc4193", "ipv4Assignments", "ipv6Assignments",
        "lastModified", "lastSeen", "lastSeenIp", "macAddress", "name", "networkId", "noAutoAssignIps", "os",
        "revision", "status", "tags",
    }  # fmt: skip
    assert api.ok("GET", MEMBERS) == [member] == [api.ok("GET", f"{MEMBERS}/{NODE}")]
    assert api.ok("POST", f"{MEMBERS}/{NODE}/de-authorize")["status"] == "not_authorized"
    api.ok("DELETE", MEMBERS, [{"deviceId": NODE}])
    assert controller.members[NWID] == {}


def test_a_viewer_reads(upstream: Upstream, controller: FakeController) -> None:
    with HttpServer(CentralV2(upstream, TOKEN, viewer=True)) as server:
        api = V2(server.port)
        assert api.ok("GET", NETWORK)["id"] == NWID
        assert api.ask("POST", NETWORK, {})[0] == 403
        assert api.ask("POST", MEMBERS, [{"deviceId": NODE}])[0] == 403
    assert controller.members[NWID] == {}


@pytest.mark.parametrize(
    ("letter", "method", "path"),
    [("m", "POST", NETWORK), ("a", "POST", f"{MEMBERS}/{NODE}"), ("d", "DELETE", f"{MEMBERS}/{NODE}")],
)
def test_rights_in_v1(upstream: Upstream, letter: str, method: str, path: str) -> None:
    rights = {each: each != letter for each in "rmad"}
    with HttpServer(Central(upstream, TOKEN, rights=rights)) as server:
        api = Api(server.port)
        network, user = api.ok("GET", NETWORK), api.ok("GET", "/status")["user"]["id"]
        assert network["permissions"][user] == rights
        assert network["ownerId"] != user
        assert api.call(method, f"/api/v1{path}", {})[0] == 401
