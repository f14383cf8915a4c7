"""ZeroTier Central, API v1: settings are below `config`, the token is the user's."""

from __future__ import annotations

from typing import Any

from ..errors import ZtgateError
from ..http import Api, StatusError
from . import shapes
from .base import MEMBER_KEYS, NETWORK_KEYS, Member, Network, asked_member, call, pick, too_weak

WHERE_TOKEN = "an API token of the account, made in ZeroTier Central under Account"
# What the letters of a user's permissions mean for a network: the OpenAPI description, schema Permissions.
DEEDS = {"m": "change it", "a": "authorize members", "d": "delete members"}


class CentralV1:
    """See https://docs.zerotier.com/api/central/v1/."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @staticmethod
    def headers(token: str) -> dict[str, str]:
        """The credentials."""
        return {"Authorization": f"token {token}"}

    def network(self, network: str) -> Network:
        """GET /network/<id>."""
        host, what = self.api.host, "a network"
        data = shapes.mapping(host, what, self._call(network, "GET", f"/network/{network}"))
        shapes.same(host, what, data.get("id"), network)
        settings = pick(shapes.mapping(host, what, data.get("config")), NETWORK_KEYS)
        shapes.network(host, settings)
        return Network(network, settings)

    def members(self, network: str) -> dict[str, Member]:
        """GET /network/<id>/member: all of them, there are no pages."""
        answer = self._call(network, "GET", f"/network/{network}/member")
        members = [self._member(row) for row in shapes.rows(self.api.host, "a list of members", answer)]
        return {member.node: member for member in members}

    def member(self, network: str, node: str) -> Member | None:
        """GET /network/<id>/member/<node>."""
        path = f"/network/{network}/member/{node}"
        return asked_member(self.api, network, node, WHERE_TOKEN, path, self._member)

    def write_network(self, network: str, changes: dict[str, Any]) -> None:
        """POST /network/<id>."""
        self._call(network, "POST", f"/network/{network}", {"config": changes})

    def write_member(self, network: str, node: str, changes: dict[str, Any]) -> None:
        """POST /network/<id>/member/<node>."""
        body: dict[str, Any] = {"config": pick(changes, MEMBER_KEYS)}
        if "name" in changes:
            body["name"] = changes["name"]
        self._call(network, "POST", f"/network/{network}/member/{node}", body)

    def delete_member(self, network: str, node: str) -> None:
        """DELETE /network/<id>/member/<node>; 200 also if there is none."""
        self._call(network, "DELETE", f"/network/{network}/member/{node}")

    def check_power(self, network: str, *, delete: bool = False) -> None:
        """What the network grants the token's user; where it does not say, an empty update tells."""
        host = self.api.host
        status = shapes.mapping(host, "Central's status", self._call(network, "GET", "/status"))
        user = shapes.mapping(host, "a user", status.get("user") or {}).get("id")
        if not isinstance(user, str | None):
            raise shapes.wrong(host, "a user", "its id is no text")
        if not user:
            raise ZtgateError(f"{host} does not accept the token", f"put a valid one there: {WHERE_TOKEN}")
        data = shapes.mapping(host, "a network", self._call(network, "GET", f"/network/{network}"))
        if data.get("ownerId") == user:
            return
        rights = shapes.mapping(host, "permissions", data.get("permissions") or {}).get(user)
        if not isinstance(rights, dict):
            self._update_nothing(network)
            return
        needed = DEEDS if delete else pick(DEEDS, ("m", "a"))
        lacking = [deed for letter, deed in needed.items() if not rights.get(letter)]
        if lacking:
            raise too_weak(host, network, " or ".join(lacking))

    def _update_nothing(self, network: str) -> None:
        try:
            self.api.request("POST", f"/network/{network}", {})
        except StatusError as error:
            if error.code in (401, 403):
                raise too_weak(self.api.host, network, DEEDS["m"]) from None

    def _call(self, network: str, method: str, path: str, body: Any = None) -> Any:
        return call(self.api, network, WHERE_TOKEN, method, path, body)

    def _member(self, answer: Any) -> Member:
        host, what = self.api.host, "a member"
        row = shapes.mapping(host, what, answer)
        # Central's id is "<network>-<node>"; nodeId is the node alone.
        node = str(row.get("nodeId") or str(row.get("id") or "").split("-")[-1])
        if not node:
            raise shapes.wrong(host, what, "its id is missing")
        config = shapes.mapping(host, what, {} if row.get("config") is None else row["config"])
        settings = pick(config, MEMBER_KEYS)
        shapes.member(host, settings)
        refused = not settings.get("authorized") and shapes.moment(config.get("lastDeauthorizedTime")) > 0
        return Member(node, str(row.get("name") or ""), settings, refused, shapes.moment(row.get("lastSeen")))
