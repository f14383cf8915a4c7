"""The controller inside zerotier-one up to 1.14.2 (and in builds that keep it): its local JSON API."""

from __future__ import annotations

from typing import Any

from ..errors import ZtgateError
from ..http import Api, StatusError
from . import shapes
from .base import MEMBER_KEYS, NETWORK_KEYS, Member, Network, asked_member, call, in_words, pick

WHERE_TOKEN = "the controller's authtoken.secret; its allowManagementFrom must admit this machine"


class SelfHosted:
    """Settings are at the top of each object; POST creates what is not there, so reading comes first."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @staticmethod
    def headers(token: str) -> dict[str, str]:
        """The credentials."""
        return {"X-ZT1-Auth": token}

    def network(self, network: str) -> Network:
        """GET /controller/network/<id>."""
        try:
            answer = self.api.request("GET", f"/controller/network/{network}")
        except StatusError as error:
            if error.code == 404:
                self._require_controller(network)
            raise in_words(error, network, self.api.host, WHERE_TOKEN) from None
        host, what = self.api.host, "a network"
        data = shapes.mapping(host, what, answer)
        shapes.same(host, what, data.get("id"), network)
        settings = pick(data, NETWORK_KEYS)
        shapes.network(host, settings)
        revision = data.get("revision")
        return Network(network, settings, revision if isinstance(revision, int) else None)

    def _require_controller(self, network: str) -> None:
        """A node without a controller answers 404 to everything."""
        try:
            self.api.request("GET", "/controller")
        except StatusError as error:
            if error.code != 404:
                raise in_words(error, network, self.api.host, WHERE_TOKEN) from None
            raise ZtgateError(
                f"{self.api.host} is a ZeroTier node without a controller",
                "zerotier-one has none from 1.16 on: use 1.14.2 there, or controller.kind central-v1",
            ) from None

    def members(self, network: str) -> dict[str, Member]:
        """All in one answer, where the controller knows that one (from 1.12 on); otherwise one by one."""
        try:
            answer = self.api.request("GET", f"/unstable/controller/network/{network}/member")
        except StatusError:
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("data"), list):
            members = [self._member(row) for row in answer["data"]]
            return {member.node: member for member in members}
        nodes = self._call(network, "GET", f"/controller/network/{network}/member")
        nodes = shapes.mapping(self.api.host, "a list of members", nodes)
        found = {node: self.member(network, node) for node in nodes}
        return {node: member for node, member in found.items() if member}

    def member(self, network: str, node: str) -> Member | None:
        """GET /controller/network/<id>/member/<node>."""
        path = f"/controller/network/{network}/member/{node}"
        return asked_member(self.api, network, node, WHERE_TOKEN, path, self._member)

    def write_network(self, network: str, changes: dict[str, Any]) -> None:
        """POST /controller/network/<id>."""
        self._call(network, "POST", f"/controller/network/{network}", changes)

    def write_member(self, network: str, node: str, changes: dict[str, Any]) -> None:
        """POST /controller/network/<id>/member/<node>."""
        self._call(network, "POST", f"/controller/network/{network}/member/{node}", changes)

    def delete_member(self, network: str, node: str) -> None:
        """DELETE /controller/network/<id>/member/<node>; 404 if there is none."""
        if self.member(network, node) is not None:
            self._call(network, "DELETE", f"/controller/network/{network}/member/{node}")

    def check_power(self, network: str, *, delete: bool = False) -> None:
        """There is one token, and it may do everything."""

    def _call(self, network: str, method: str, path: str, body: Any = None) -> Any:
        return call(self.api, network, WHERE_TOKEN, method, path, body)

    def _member(self, answer: Any) -> Member:
        host, what = self.api.host, "a member"
        row = shapes.mapping(host, what, answer)
        if not row.get("id"):
            raise shapes.wrong(host, what, "its id is missing")
        settings = pick(row, MEMBER_KEYS)
        shapes.member(host, settings)
        # A member that only asks has 0 there (EmbeddedNetworkController.cpp and DB.cpp, 1.14.1).
        refused = not settings.get("authorized") and shapes.moment(row.get("lastDeauthorizedTime")) > 0
        return Member(str(row["id"]), str(row.get("name") or ""), settings, refused)
