"""The controller's part of the local API: /controller and the one-shot lists under /unstable."""

import json
from collections.abc import Callable

from .coerce import Json, to_int
from .controller import Controller
from .minihttp import Request, Response
from .records import now_ms

_NETWORK = r"/controller/network/([0-9a-fA-F]{16})"
_MEMBER = rf"{_NETWORK}/member/([0-9a-fA-F]{{10}})"


def _reply(value: object) -> Response:
    return Response(200, json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def _object(request: Request) -> Json:
    """The body, which must be JSON; ValueError becomes status 500 as in the real one."""
    value = json.loads(request.body)
    return value if isinstance(value, dict) else {}


def routes(controller: Controller) -> list[tuple[str, str, Callable[..., Response]]]:
    """What to call for which method and path."""
    api = _ControllerApi(controller)
    return [
        ("GET", r"/controller", api.describe),
        ("GET", r"/controller/network", api.list_networks),
        ("POST", r"/controller/network", api.create),
        ("POST", r"/controller/network/([0-9a-fA-F]{10})______", api.create_named),
        ("GET", _NETWORK, api.get_network),
        ("POST", _NETWORK, api.post_network),
        ("DELETE", _NETWORK, api.delete_network),
        ("GET", rf"{_NETWORK}/member", api.list_members),
        ("GET", _MEMBER, api.get_member),
        ("POST", _MEMBER, api.post_member),
        ("DELETE", _MEMBER, api.delete_member),
        ("GET", r"/unstable/controller/network", api.all_networks),
        ("GET", r"/unstable/controller/network/([0-9a-fA-F]{16})/member", api.all_members),
    ]


class _ControllerApi:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def describe(self, _: Request) -> Response:
        return _reply({"controller": True, "apiVersion": 4, "clock": now_ms(), "databaseReady": True})

    def list_networks(self, _: Request) -> Response:
        return _reply([f"{nwid:016x}" for nwid in sorted(self._controller.networks)])

    def create(self, request: Request) -> Response:
        return _reply(self._controller.update_network(self._controller.new_id(), _object(request)))

    def create_named(self, request: Request, node: str) -> Response:
        if node != f"{self._controller.node:010x}":
            return Response(400)
        return self.create(request)

    def get_network(self, _: Request, nwid: str) -> Response:
        network = self._controller.networks.get(int(nwid, 16))
        return Response(404) if network is None else _reply(network)

    def post_network(self, request: Request, nwid: str) -> Response:
        return _reply(self._controller.update_network(int(nwid, 16), _object(request)))

    def delete_network(self, _: Request, nwid: str) -> Response:
        if int(nwid, 16) not in self._controller.networks:
            return Response(404)
        return _reply(self._controller.delete_network(int(nwid, 16)))

    def list_members(self, _: Request, nwid: str) -> Response:
        members = self._controller.members.get(int(nwid, 16))
        if members is None:
            return Response(404)
        return _reply({each["id"]: to_int(each["revision"]) for each in members.values()})

    def get_member(self, _: Request, nwid: str, node: str) -> Response:
        member = self._controller.members.get(int(nwid, 16), {}).get(int(node, 16))
        return Response(404) if member is None else _reply(member)

    def post_member(self, request: Request, nwid: str, node: str) -> Response:
        if int(nwid, 16) not in self._controller.networks:
            return Response(404)
        return _reply(self._controller.update_member(int(nwid, 16), int(node, 16), _object(request)))

    def delete_member(self, _: Request, nwid: str, node: str) -> Response:
        if int(node, 16) not in self._controller.members.get(int(nwid, 16), {}):
            return Response(404)
        return _reply(self._controller.delete_member(int(nwid, 16), int(node, 16)))

    def all_networks(self, _: Request) -> Response:
        found = [
            {**network, "meta": _counts(self._controller, nwid, "totalMemberCount", "authorizedMemberCount")}
            for nwid, network in sorted(self._controller.networks.items())
        ]
        return _reply({"data": found, "meta": {"networkCount": len(found)}})

    def all_members(self, _: Request, nwid: str) -> Response:
        members = self._controller.members.get(int(nwid, 16))
        if members is None:
            return Response(404)
        meta = _counts(self._controller, int(nwid, 16), "totalCount", "authorizedCount")
        return _reply({"data": list(members.values()), "meta": meta})


def _counts(controller: Controller, nwid: int, total: str, authorized: str) -> Json:
    members = controller.members[nwid].values()
    return {total: len(members), authorized: sum(1 for each in members if each["authorized"])}
