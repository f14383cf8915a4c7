"""ZeroTier Central, API v1: settings are below `config`, the token is the user's."""

from __future__ import annotations

from typing import Any

from ..errors import ZtgateError
from ..http import Api, StatusError
from .base import MEMBER_KEYS, NETWORK_KEYS, Member, Network, in_words, pick, too_weak

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
        data = self._call(network, "GET", f"/network/{network}")
        return Network(network, pick(data.get("config") or {}, NETWORK_KEYS))

    def members(self, network: str) -> dict[str, Member]:
        """GET /network/<id>/member: all of them, there are no pages."""
        rows = self._call(network, "GET", f"/network/{network}/member")
        members = [_member(row) for row in rows]
        return {member.node: member for member in members}

    def member(self, network: str, node: str) -> Member | None:
        """GET /network/<id>/member/<node>."""
        try:
            return _member(self.api.request("GET", f"/network/{network}/member/{node}"))
        except StatusError as error:
            if error.code == 404:
                return None
            raise in_words(error, network, self.api.host, WHERE_TOKEN) from None

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
        user = (self._call(network, "GET", "/status").get("user") or {}).get("id")
        if not user:
            raise ZtgateError(
                f"{self.api.host} does not accept the token", f"put a valid one there: {WHERE_TOKEN}"
            )
        data = self._call(network, "GET", f"/network/{network}")
        if data.get("ownerId") == user:
            return
        rights = (data.get("permissions") or {}).get(user)
        if not isinstance(rights, dict):
            self._update_nothing(network)
            return
        needed = DEEDS if delete else pick(DEEDS, ("m", "a"))
        lacking = [deed for letter, deed in needed.items() if not rights.get(letter)]
        if lacking:
            raise too_weak(self.api.host, network, " or ".join(lacking))

    def _update_nothing(self, network: str) -> None:
        try:
            self.api.request("POST", f"/network/{network}", {})
        except StatusError as error:
            if error.code in (401, 403):
                raise too_weak(self.api.host, network, DEEDS["m"]) from None

    def _call(self, network: str, method: str, path: str, body: Any = None) -> Any:
        try:
            return self.api.request(method, path, body)
        except StatusError as error:
            raise in_words(error, network, self.api.host, WHERE_TOKEN) from None


def _member(row: dict[str, Any]) -> Member:
    # Central's id is "<network>-<node>"; nodeId is the node alone.
    node = str(row.get("nodeId") or str(row.get("id", "")).split("-")[-1])
    return Member(node, str(row.get("name") or ""), pick(row.get("config") or {}, MEMBER_KEYS))
