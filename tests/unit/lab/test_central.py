import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import tls
from lab.central import Central, Passthrough
from lab.central_upstream import Upstream
from lab.httpd import HttpServer
from tests.unit.lab.fakes import (
    CONTROLLER,
    DAEMON_TOKEN,
    FOREIGN,
    NEW_NETWORK,
    NODE,
    NWID,
    STRANGER,
    TOKEN,
    Api,
    FakeController,
)


@pytest.fixture
def api(upstream: Upstream, tmp_path: Path) -> Iterator[Api]:
    with HttpServer(Central(upstream, TOKEN, frozenset({FOREIGN})), log=tmp_path / "log") as server:
        yield Api(server.port)


@pytest.mark.parametrize(
    ("method", "path", "authorization", "status"),
    [
        ("GET", "/network", "", 401),
        ("GET", "/network", "Basic bGFiOmxhYg==", 401),
        ("GET", f"/network/{NWID}", "token", 401),
        ("GET", f"/network/{NWID}", "token wrong", 403),
        ("POST", f"/network/{NWID}/member/{NODE}", "token wrong", 403),
        ("GET", f"/network/{FOREIGN}", f"token {TOKEN}", 403),
        ("POST", f"/network/{FOREIGN}/member/{NODE}", f"token {TOKEN}", 403),
        ("GET", f"/network/{CONTROLLER}ffffff", f"token {TOKEN}", 404),
        ("POST", f"/network/{CONTROLLER}ffffff", f"token {TOKEN}", 404),
        ("DELETE", f"/network/{CONTROLLER}ffffff", f"token {TOKEN}", 404),
        ("GET", f"/network/{CONTROLLER}ffffff/member", f"token {TOKEN}", 404),
        ("POST", f"/network/{CONTROLLER}ffffff/member/{NODE}", f"token {TOKEN}", 404),
        ("GET", f"/network/{NWID}/member/{STRANGER}", f"token {TOKEN}", 404),
        ("DELETE", f"/network/{NWID}/member/{STRANGER}", f"token {TOKEN}", 200),
        ("GET", f"/network/{NWID[:15]}", f"token {TOKEN}", 404),
        ("GET", f"/network/{NWID}", f"token {TOKEN}", 200),
        ("GET", f"/network/{NWID}", f"bearer {TOKEN}", 200),
        ("GET", "/nothing", f"token {TOKEN}", 404),
    ],
)
def test_status(api: Api, method: str, path: str, authorization: str, status: int) -> None:
    got, body = api.call(method, f"/api/v1{path}", Authorization=authorization)
    assert got == status
    if status != 200:
        assert body["type"] == "internal"
        assert body["message"]


def test_a_refused_write_creates_no_network(api: Api, controller: FakeController) -> None:
    api.call("POST", f"/api/v1/network/{CONTROLLER}ffffff", {"config": {"mtu": 1400}})
    assert list(controller.networks) == [NWID]


@pytest.mark.parametrize("body", ["{", "[]", '{"config": "mtu"}'])
def test_a_body_has_to_be_an_object(api: Api, body: str) -> None:
    assert api.call("POST", f"/api/v1/network/{NWID}", body)[0] == 400


def test_outside_the_base_path_there_is_nothing(api: Api) -> None:
    assert api.call("GET", "/controller")[0] == 404


def test_the_status_tells_a_good_token_by_its_user(api: Api) -> None:
    good = api.ok("GET", "/status")
    assert good["type"] == "CentralStatus"
    assert good["user"]["id"]
    for authorization in ("token wrong", ""):
        status, bad = api.call("GET", "/api/v1/status", Authorization=authorization)
        assert (status, bad["user"]) == (200, None)


def test_a_network_has_centrals_shape(api: Api) -> None:
    network = api.ok("GET", f"/network/{NWID}")
    assert set(network) == {
        "id", "type", "clock", "config", "description", "rulesSource", "permissions", "ownerId",
        "onlineMemberCount", "authorizedMemberCount", "totalMemberCount", "capabilitiesByName", "tagsByName",
        "ui",
    }  # fmt: skip
    assert (network["id"], network["type"]) == (NWID, "Network")
    assert set(network["config"]) == {
        "authTokens", "capabilities", "creationTime", "dns", "enableBroadcast", "id", "ipAssignmentPools",
        "lastModified", "mtu", "multicastLimit", "name", "private", "remoteTraceLevel", "remoteTraceTarget",
        "routes", "rules", "ssoConfig", "tags", "v4AssignMode", "v6AssignMode",
    }  # fmt: skip
    assert network["config"]["dns"] == {"domain": "", "servers": None}
    assert api.ok("GET", "/network")[0]["id"] == NWID


def test_arrays_and_inner_objects_are_replaced_whole(api: Api) -> None:
    lan = {"target": "10.66.0.0/24"}
    route = {"target": "0.0.0.0/0", "via": "10.66.0.1"}
    first = {
        "routes": [{**lan, "via": None}, route],
        "v6AssignMode": {"rfc4193": True, "zt": True},
        "mtu": 1390,
    }
    after = api.ok("POST", f"/network/{NWID}", {"config": first})["config"]
    assert after["routes"] == [lan, route]  # a route without a next hop has no `via` at all
    assert after["v6AssignMode"] == {"6plane": False, "rfc4193": True, "zt": True}

    after = api.ok("POST", f"/network/{NWID}", {"config": {"routes": [route], "v6AssignMode": {"zt": True}}})[
        "config"
    ]
    assert after["routes"] == [route]
    assert after["v6AssignMode"] == {"6plane": False, "rfc4193": False, "zt": True}
    assert (after["mtu"], after["name"]) == (1390, "old")


def test_null_leaves_a_setting_as_it_is(api: Api) -> None:
    api.ok("POST", f"/network/{NWID}", {"config": {"mtu": 1390}, "description": "mine"})
    after = api.ok("POST", f"/network/{NWID}", {"config": {"mtu": None}, "description": None})
    assert (after["config"]["mtu"], after["description"]) == (1390, "mine")


def test_what_only_central_has_is_kept(api: Api, controller: FakeController) -> None:
    written = {
        "description": "a network",
        "rulesSource": "drop;",
        "invented": {"by": "somebody"},
        "id": FOREIGN,
        "totalMemberCount": 99,
        "config": {"ssoConfig": {"enabled": False, "mode": "default"}, "novel": [1, 2], "creationTime": 1},
    }
    api.ok("POST", f"/network/{NWID}", written)
    network = api.ok("POST", f"/network/{NWID}", {"config": {"name": "new"}})
    assert (network["description"], network["rulesSource"]) == ("a network", "drop;")
    assert (network["invented"], network["config"]["novel"]) == ({"by": "somebody"}, [1, 2])
    assert network["config"]["ssoConfig"]["mode"] == "default"
    assert (network["id"], network["totalMemberCount"]) == (NWID, 0)  # read only
    assert network["config"]["creationTime"] == NEW_NETWORK["creationTime"]
    assert network["clock"] - 60_000 < network["config"]["lastModified"] <= network["clock"]
    assert controller.networks[NWID]["name"] == "new"


def test_a_network_can_be_made_and_removed(api: Api, controller: FakeController) -> None:
    api.ok("DELETE", f"/network/{NWID}")
    assert controller.networks == {}
    made = api.ok("POST", "/network", {"config": {"name": "mine", "private": True}, "description": "d"})
    assert (made["config"]["name"], made["description"]) == ("mine", "d")
    assert api.ok("GET", f"/network/{made['id']}")["description"] == "d"


def test_a_member_can_be_authorized_before_it_joins(api: Api, controller: FakeController) -> None:
    body = {"name": "gw", "config": {"authorized": True, "ipAssignments": ["10.66.0.1"]}}
    member = api.ok("POST", f"/network/{NWID}/member/{NODE}", body)
    assert controller.members[NWID][NODE]["ipAssignments"] == ["10.66.0.1"]
    assert (member["id"], member["networkId"], member["nodeId"]) == (f"{NWID}-{NODE}", NWID, NODE)
    assert (member["controllerId"], member["type"], member["name"]) == (CONTROLLER, "Member", "gw")
    assert (member["lastSeen"], member["physicalAddress"], member["hidden"]) == (0, None, False)
    assert set(member["config"]) == {
        "activeBridge", "address", "authorized", "capabilities", "creationTime", "id", "ipAssignments",
        "lastAuthorizedTime", "lastDeauthorizedTime", "noAutoAssignIps", "nwid", "objtype",
        "remoteTraceLevel", "remoteTraceTarget", "revision", "ssoExempt", "tags", "vMajor", "vMinor",
        "vProto", "vRev",
    }  # fmt: skip
    network = api.ok("GET", f"/network/{NWID}")
    assert (network["authorizedMemberCount"], network["totalMemberCount"]) == (1, 1)


def test_members_come_as_a_full_list_with_what_the_node_knows_of_them(
    api: Api, controller: FakeController
) -> None:
    api.ok("POST", f"/network/{NWID}/member/{NODE}", {"name": "one", "hidden": True})
    api.ok("POST", f"/network/{NWID}/member/{STRANGER}", {"config": {"noAutoAssignIps": True}})
    # The controller learns these, and the node's identity, when the node first asks for its configuration.
    learned = {"vMajor": 1, "vMinor": 14, "vRev": 1, "vProto": 12, "identity": f"{NODE}:0:8c3e"}
    controller.members[NWID][NODE] |= {**learned, "name": "the daemon's"}
    now = api.ok("GET", "/status")["clock"]
    old = {"address": "203.0.4.10/1", "lastReceive": now - 900_000}
    controller.peers.append(
        {"address": NODE, "paths": [{"address": "203.0.4.10/9993", "lastReceive": now}, old]}
    )
    first, second = api.ok("GET", f"/network/{NWID}/member")
    assert (first["name"], first["hidden"], first["clientVersion"]) == ("one", True, "1.14.1")
    assert (first["lastSeen"], first["physicalAddress"]) == (now, "203.0.4.10")
    assert (first["protocolVersion"], first["supportsRulesEngine"]) == (12, True)
    assert first["config"]["identity"] == f"{NODE}:0:8c3e"
    assert "identity" not in second["config"]
    assert (second["nodeId"], second["config"]["noAutoAssignIps"], second["lastSeen"]) == (STRANGER, True, 0)
    assert api.ok("GET", f"/network/{NWID}")["onlineMemberCount"] == 1


def test_a_removed_member_is_forgotten(api: Api) -> None:
    path = f"/network/{NWID}/member/{NODE}"
    api.ok("POST", path, {"name": "one", "description": "first"})
    assert api.ok("DELETE", path) is None
    assert api.call("GET", f"/api/v1{path}")[0] == 404
    assert api.ok("POST", path, {})["description"] == ""


def test_writes_at_once_do_not_get_mixed_up(api: Api) -> None:
    def write(number: int) -> None:
        api.ok("POST", f"/network/{NWID}/member/{NODE}", {"config": {f"n{number}": number}})

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    config = api.ok("GET", f"/network/{NWID}/member/{NODE}")["config"]
    assert {f"n{number}" for number in range(8)} <= set(config)


def test_a_controller_that_is_away_is_a_bad_gateway(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(DAEMON_TOKEN)
    with HttpServer(FakeController()) as gone:
        pass
    with HttpServer(Central(Upstream(f"http://127.0.0.1:{gone.port}", tmp_path / "secret"), TOKEN)) as server:
        status, body = Api(server.port).call("GET", "/api/v1/network")
    assert (status, body["type"]) == (502, "internal")


def test_the_log_has_every_call_and_no_token(api: Api, tmp_path: Path) -> None:
    api.ok("GET", "/network")
    api.call("GET", f"/api/v1/network/{NWID}?auth={TOKEN}", Authorization="token wrong")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"time", "method", "path", "status"}] * 2
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/api/v1/network", 200),
        ("GET", f"/api/v1/network/{NWID}", 403),
    ]
    assert TOKEN not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/controller", DAEMON_TOKEN, 200),
        ("/status", DAEMON_TOKEN, 200),
        (f"/controller/network/{NWID}", DAEMON_TOKEN, 200),
        (f"/controller/network/{NWID}", "wrong", 401),
        (f"/controller/network/{NWID}?auth={DAEMON_TOKEN}", "", 200),
        (f"/controller/network/{NWID}/member/{NODE}", DAEMON_TOKEN, 404),
        ("/peer", DAEMON_TOKEN, 404),
        ("/api/v1/network", DAEMON_TOKEN, 404),
    ],
)
def test_passthrough(upstream: Upstream, tmp_path: Path, path: str, token: str, status: int) -> None:
    with HttpServer(Passthrough(upstream), log=tmp_path / "log") as server:
        assert Api(server.port).call("GET", path, **{"X-ZT1-Auth": token})[0] == status
    entry = json.loads((tmp_path / "log").read_text())
    assert (entry["path"], entry["status"]) == (path.partition("?")[0], status)


def test_passthrough_writes(upstream: Upstream, controller: FakeController) -> None:
    with HttpServer(Passthrough(upstream)) as server:
        headers = {"X-ZT1-Auth": DAEMON_TOKEN}
        body = {"authorized": True}
        path = f"/controller/network/{NWID}/member/{NODE}"
        assert Api(server.port).call("POST", path, body, **headers)[1]["authorized"] is True
    assert controller.members[NWID][NODE]["authorized"] is True


def test_tls_with_an_authority_of_its_own(upstream: Upstream, tmp_path: Path) -> None:
    made = tls.make(tmp_path / "tls", ["controller.lab", "127.0.0.1", "2600:db8:0:3::10"])
    trusting = ssl.create_default_context(cafile=str(made.ca))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # Python 3.13's default
    with HttpServer(Central(upstream, TOKEN), tls=made.server_context()) as server:
        assert Api(server.port, context=trusting).ok("GET", "/status")["user"]
        with pytest.raises(ssl.SSLCertVerificationError):
            Api(server.port, context=ssl.create_default_context()).ok("GET", "/status")
        # A client that says nothing keeps nobody else waiting.
        silent = http.client.HTTPConnection("127.0.0.1", server.port)
        silent.connect()
        assert Api(server.port, context=trusting).ok("GET", "/status")["user"]
        silent.close()
