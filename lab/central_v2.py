"""ZeroTier's new Central, API v2, in front of a real controller.

Statuses, paths and bodies: the OpenAPI description docs.zerotier.com/openapi/central/v2.json (see
lab.central_v2_shapes). It declares 400 with ``code`` and ``details``, 401, 403, 413 and 500, but no 404,
which is what others' clients expect where something is missing, and so it is here.

Stricter than the real one may be: a field that the description does not have is refused, so that a client
is seen to write strictly. Not here: organizations, groups and roles beyond one, flow rules, statistics.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab import central_v2_shapes as shapes
from lab.central_upstream import Upstream
from lab.facade import NETWORK, NODE, Facade, Json, Refused, Route, credentials
from lab.httpd import Request

MEMBER = f"{NETWORK}/member"


class CentralV2(Facade):
    """The facade. With ``viewer`` the token's service account may read only."""

    BASE = "/api/v2"

    def __init__(
        self,
        controller: Upstream,
        token: str,
        foreign: frozenset[str] = frozenset(),
        viewer: bool = False,
    ) -> None:
        super().__init__(controller, token, foreign)
        self._viewer = viewer
        self._descriptions: dict[tuple[str, ...], str] = {}

    def routes(self) -> Sequence[Route]:
        """What there is."""
        return [
            ("GET", "/org", lambda: {"items": [shapes.ORG]}),
            ("GET", NETWORK, self._get_network),
            ("POST", NETWORK, self._set_network),
            ("GET", MEMBER, self._list_members),
            ("POST", MEMBER, self._add_members),
            ("DELETE", MEMBER, self._remove_members),
            ("GET", MEMBER + NODE, self._get_member),
            ("POST", MEMBER + NODE, self._set_member),
            ("POST", MEMBER + NODE + "/authorize", self._authorizer(True)),
            ("POST", MEMBER + NODE + "/de-authorize", self._authorizer(False)),
        ]

    def admit(self, request: Request) -> None:
        """401 without a good token, 403 for who may not write."""
        if credentials(request, "bearer") != self._token:
            raise Refused(401, "unauthorized")
        if self._viewer and request.method != "GET":
            raise Refused(403, "permission denied")

    def refusal(self, status: int, message: str, more: Json) -> object:
        """With a code if it is for what was sent."""
        return {"message": message, **({"code": status} if status == 400 else {}), **more}

    def _get_network(self, nwid: str) -> Json:
        return shapes.network(self.stored(nwid), self._descriptions.get((nwid,), ""))

    def _set_network(self, nwid: str, body: Any) -> Json:
        _check(body, shapes.NETWORK)
        _check(body.get("config", {}), shapes.WRITABLE, "config.")
        with self._write_lock:
            settings = shapes.take_config(body.get("config", {}), self.stored(nwid))
            if "name" in body:
                settings["name"] = body["name"]
            self._describe(body, nwid)
            if settings:
                self._controller.post(f"/controller/network/{nwid}", settings)
        return self._get_network(nwid)

    def _list_members(self, nwid: str) -> list[Json]:
        return [self._get_member(nwid, node) for node in self.nodes(nwid)]

    def _get_member(self, nwid: str, node: str) -> Json:
        return shapes.member(self.stored_member(nwid, node), self._descriptions.get((nwid, node), ""))

    def _add_members(self, nwid: str, body: Any) -> list[Json]:
        for row in _rows(body):
            _check(row, {**shapes.MEMBER, "deviceId": str})
        with self._write_lock:
            self.stored(nwid)
            for row in body:
                path = f"/controller/network/{nwid}/member/{row['deviceId']}"
                self._controller.post(path, shapes.take_member(row, {}))
                self._describe(row, nwid, row["deviceId"])
        return [self._get_member(nwid, row["deviceId"]) for row in body]

    def _set_member(self, nwid: str, node: str, body: Any) -> Json:
        _check(body, shapes.MEMBER)
        with self._write_lock:
            settings = shapes.take_member(body, self.stored_member(nwid, node))
            self._controller.post(f"/controller/network/{nwid}/member/{node}", settings)
            self._describe(body, nwid, node)
        return self._get_member(nwid, node)

    def _authorizer(self, authorized: bool) -> Callable[[str, str, Any], Json]:
        def authorize(nwid: str, node: str, _: Any) -> Json:
            self.stored_member(nwid, node)
            self._controller.post(f"/controller/network/{nwid}/member/{node}", {"authorized": authorized})
            return self._get_member(nwid, node)

        return authorize

    def _remove_members(self, nwid: str, body: Any) -> Json:
        for row in _rows(body):
            _check(row, {"deviceId": str})
            self._controller.delete(f"/controller/network/{nwid}/member/{row['deviceId']}")
            self._descriptions.pop((nwid, row["deviceId"]), None)
        return {"message": "removed"}

    def _describe(self, body: Json, *key: str) -> None:
        if "description" in body:
            self._descriptions[key] = body["description"]


def _check(body: object, allowed: Mapping[str, type], prefix: str = "") -> None:
    details = shapes.faults(body, allowed, prefix)
    if details:
        raise Refused(400, "validation failed", details=details)


def _rows(body: object) -> list[Any]:
    if not isinstance(body, list) or not all(isinstance(row, dict) and "deviceId" in row for row in body):
        raise Refused(400, "validation failed", details=[{"field": "deviceId", "message": "is missing"}])
    return body
