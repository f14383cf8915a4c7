"""A controller in memory behind each kind of API, as JSON: quick enough for ten thousand runs."""

import io
import json
from collections.abc import Callable
from typing import Any

import requests
from ztgate.controllers.central_v2 import ASSIGNMENTS, NAMES, POOLS

from tests.unit.firstboot.support import NETWORK, FakeController

Json = Any
Change = Callable[[Json], Json]
DOORS = {"central-v1": "/api/v1", "central-v2": "/api/v2", "self-hosted": ""}


class Door:
    """Stands for requests.Session: answers as a kind of controller does, after `change` had the answer."""

    def __init__(self, kind: str, controller: FakeController, change: Change) -> None:
        self.kind, self.controller, self.change = kind, controller, change

    def request(self, method: str, url: str, *, data: str | None, **_: Any) -> requests.Response:
        """One exchange; what is written is done."""
        path = url.split("/", 3)[3].removeprefix(DOORS[self.kind].lstrip("/")).strip("/").split("/")
        body = json.loads(data) if data else None
        answer = self._answer(method, path[1:] if path[0] == "controller" else path, body)
        made = requests.Response()
        made.status_code = 404 if answer is None else 200
        made.raw = io.BytesIO(json.dumps(self.change({} if answer is None else answer)).encode())
        return made

    def _answer(self, method: str, path: list[str], body: Json) -> Json:
        match path:
            case ["status"]:
                return {"user": {"id": "user"}, "online": True}
            case ["org"]:
                return {"id": "org"}
            case ["unstable", "controller", *_, "member"]:
                return {"data": [self._member(node) for node in self.controller.rows]}
            case ["network", _]:
                if method == "POST":
                    self.controller.write_network(NETWORK, self._settings(body))
                return self._network()
            case ["network", _, "member"]:
                for row in body if method == "POST" else ():
                    self._write(row["deviceId"], row)
                return [self._member(node) for node in self.controller.rows]
            case ["network", _, "member", node, *verb]:
                if method == "POST":
                    self._write(node, {"authorized": verb == ["authorize"]} if verb else body)
                return self._member(node) if node in self.controller.rows else None
        return None

    def _network(self) -> Json:
        settings = self.controller.settings
        if self.kind == "central-v1":
            return {"id": NETWORK, "ownerId": "user", "config": {"id": NETWORK, **settings}}
        if self.kind == "self-hosted":
            return {"id": NETWORK, "name": "lab", "revision": 3, **settings}
        config = {theirs: settings[ours] for ours, theirs in NAMES.items() if ours in settings}
        pools = settings.get("ipAssignmentPools", [])
        for version, key in POOLS.items():
            config[key] = [row for row in pools if (":" in row["ipRangeStart"]) == (version == 6)]
        return {"id": NETWORK, "name": "lab", "config": {**config, "routes": settings["routes"]}}

    def _settings(self, body: Json) -> Json:
        if self.kind == "self-hosted":
            return body
        config = body.get("config", {})
        if self.kind == "central-v1":
            return config
        found = {ours: config[theirs] for ours, theirs in NAMES.items() if theirs in config}
        pools = [row for key in POOLS.values() for row in config.get(key, ())]
        routes = {"routes": config["routes"]} if "routes" in config else {}
        return {**found, **routes, **({"ipAssignmentPools": pools} if pools else {})}

    def _member(self, node: str) -> Json:
        row = {"ipAssignments": [], "authorized": False, **self.controller.rows[node]}
        if self.kind == "self-hosted":
            return {"id": node, "nwid": NETWORK, **row}
        if self.kind == "central-v1":
            return {"id": f"{NETWORK}-{node}", "nodeId": node, "name": row.get("name", ""), "config": row}
        addresses = {
            key: [text for text in row["ipAssignments"] if (":" in text) == (version == 6)]
            for version, key in ASSIGNMENTS.items()
        }
        status = "authorized" if row["authorized"] else "not_authorized"
        return {"deviceId": node, "name": row.get("name", ""), "status": status, **addresses}

    def _write(self, node: str, body: Json) -> None:
        changes = {key: value for key, value in body.items() if key not in ("deviceId", "config")}
        changes |= body.get("config", {})
        for key in ASSIGNMENTS.values():
            if key in changes:
                changes.setdefault("ipAssignments", []).extend(changes.pop(key))
        self.controller.write_member(NETWORK, node, changes)
