"""A daemon's local API in memory, and a client, for the tests of both Centrals' facades."""

import http.client
import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any

from lab.httpd import Reply, Request, bytes_reply, json_reply

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
