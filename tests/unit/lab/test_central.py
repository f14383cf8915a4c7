import http.client
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import tls
from lab.central import Central, Passthrough
from lab.central_upstream import Upstream
from lab.httpd import HttpServer, Reply, Request, bytes_reply, json_reply

Json = dict[str, Any]
CONTROLLER, NODE, STRANGER = "116be780b4", "54f03b7f83", "00000000aa"
NWID, FOREIGN = f"{CONTROLLER}870839", "8056c2e21c000001"
TOKEN = "an-api-token"
DAEMON_TOKEN = "the-daemon-token"

# As zerotier-one 1.14.1 answers for a new network and for a member that was written before it joined.
NEW_NETWORK: Json = {
    "authTokens": [None], "authorizationEndpoint": "", "capabilities": [], "clientId": "",
    "creationTime": 1795348157663, "dns": [], "enableBroadcast": True, "ipAssignmentPools": [], "mtu": 2800,
    "multicastLimit": 32, "name": "", "objtype": "network", "private": True, "remoteTraceLevel": 0,
    "remoteTraceTarget": None, "revision": 1, "routes": [],
    "rules": [{"not": False, "or": False, "type": "ACTION_ACCEPT"}], "rulesSource": "", "ssoEnabled": False,
    "tags": [], "v4AssignMode": {"zt": False},
    "v6AssignMode": {"6plane": False, "rfc4193": False, "zt": False},
}  # fmt: skip
NEW_MEMBER: Json = {
    "activeBridge": False, "authenticationExpiryTime": 0, "authorized": False, "capabilities": [],
    "creationTime": 1795348175971, "ipAssignments": [], "lastAuthorizedCredential": None,
    "lastAuthorizedCredentialType": "api", "lastAuthorizedTime": 0, "lastDeauthorizedTime": 0, "name": "",
    "noAutoAssignIps": False, "objtype": "member", "remoteTraceLevel": 0, "remoteTraceTarget": None,
    "revision": 1, "ssoExempt": False, "tags": [], "vMajor": -1, "vMinor": -1, "vProto": -1, "vRev": -1,
}  # fmt: skip


@dataclass
class FakeController:
    """A daemon's local API, as little of it as the facade needs; routes come out with `via: null`."""

    networks: dict[str, Json] = field(default_factory=dict)
    members: dict[str, dict[str, Json]] = field(default_factory=dict)
    peers: list[Json] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        if request.headers.get("X-ZT1-Auth") != DAEMON_TOKEN and f"auth={DAEMON_TOKEN}" not in request.query:
            return json_reply(401, {})
        value = self.answer(request.method, request.path, json.loads(request.body or b"{}"))
        return bytes_reply(404, b"", "") if value is None else json_reply(200, value)

    def answer(self, method: str, path: str, body: Json) -> object:
        known: dict[str, object] = {
            "/status": {"address": CONTROLLER},
            "/peer": self.peers,
            "/controller": {"controller": True},
            "/controller/network": list(self.networks),
        }
        if path in known:
            return known[path]
        path = path.replace(f"{CONTROLLER}______", NWID)
        match = re.fullmatch(r"/controller/network/(\w{16})(/member(?:/(\w{10}))?)?", path)
        if not match:
            return None
        nwid, members, node = match.groups()
        if members and nwid not in self.networks:
            return None
        if members and not node:
            return {key: member["revision"] for key, member in self.members[nwid].items()}
        if members:
            return self.entry(
                self.members[nwid], method, node, {**NEW_MEMBER, "nwid": nwid, "address": node}, body
            )
        self.members.setdefault(nwid, {})
        return self.entry(self.networks, method, nwid, {**NEW_NETWORK, "nwid": nwid}, body)

    @staticmethod
    def entry(table: dict[str, Json], method: str, key: str, new: Json, body: Json) -> Json | None:
        if method == "POST":  # creates what is missing, as the real one does
            body = {name: value for name, value in body.items() if name in new}
            table[key] = {**table.get(key, {**new, "id": key}), **body}
            table[key]["routes"] = [{"via": None, **route} for route in table[key].get("routes", [])]
        return table.pop(key, None) if method == "DELETE" else table.get(key)


@dataclass
class Api:
    """A client of a server in this process."""

    port: int
    token: str = TOKEN
    context: ssl.SSLContext | None = None

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
        options: Json = {"timeout": 10}
        if self.context:
            kind, options = http.client.HTTPSConnection, options | {"context": self.context}
        client = kind("127.0.0.1", self.port, **options)
        try:
            headers = headers or {"Authorization": f"token {self.token}"}
            client.request(method, path, body if isinstance(body, str) else json.dumps(body or {}), headers)
            reply = client.getresponse()
            content = reply.read()
        finally:
            client.close()
        return reply.status, json.loads(content) if content.strip() else None

    def ok(self, method: str, path: str, body: object = None) -> Any:
        status, value = self.call(method, f"/api/v1{path}", body)
        assert status == 200, value
        return value


@pytest.fixture
def controller() -> FakeController:
    fake = FakeController()
    fake.answer("POST", f"/controller/network/{NWID}", {"name": "old"})
    return fake


@pytest.fixture
def upstream(controller: FakeController, tmp_path: Path) -> Iterator[Upstream]:
    (tmp_path / "authtoken.secret").write_text(f"{DAEMON_TOKEN}\n")
    with HttpServer(controller) as server:
        yield Upstream(f"http://127.0.0.1:{server.port}", tmp_path / "authtoken.secret")


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
