"""ZeroTier's new Central, API v2: settings below `config` have names of their own; so has authorizing.

From its OpenAPI description (docs.zerotier.com/openapi/central/v2.json, read in the client that
github.com/Fromsko/zerotier-sdk generated from it in 2026): every path, field and body that is written here.
Pools and assignments are kept by family. Of a network only the fields that are given are updated. A member
is added unauthorized, and authorized by a call of its own. Lists have no pages; answers are bare objects and
lists. Errors are {"message"}, with "code" and "details" for 400; there is no 404. It does not tell what
permissions are called, so /user/check-permissions cannot be asked.

A member's status is authorized, rejected, or not_authorized, which is said both of one that has asked and of
one that was put out; only the latter has a lastDeauthorizedTime.

From others' clients only, and so read but never written: objects inside {"network"} or {"member"}; lists
under "items", "members", "devices" or "data"; `nodeId` for `deviceId`; a status that begins with
MEMBER_STATUS_; 404.

Nobody says whether `v4Subnet` and `v6Subnet` show up among the routes. One that does not counts as a range
of the network all the same, and is not written as a route.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from ..errors import ZtgateError
from ..http import Api, StatusError
from . import shapes
from .base import Member, Network, in_words, pick, too_weak

WHERE_TOKEN = "a service account's API token, made in new Central under Organization, Service Accounts"
# https://docs.zerotier.com/tokens: "available to New Central customers on an Essential plan or above".
PLAN = "its API needs the Essential plan or above"
PATH = "/api/v2"
# What the rest of ztgate calls it, and what it is called here.
NAMES = {
    "mtu": "mtu",
    "multicastLimit": "multicastLimit",
    "dns": "dns",
    "v4AssignMode": "v4AssignmentMode",
    "v6AssignMode": "v6AssignmentMode",
}
POOLS = {4: "v4IpAssignmentPools", 6: "v6IpAssignmentPools"}
SUBNETS = ("v4Subnet", "v6Subnet")
LISTS = {"routes", *POOLS.values()}
ASSIGNMENTS = {4: "ipv4Assignments", 6: "ipv6Assignments"}
Data = dict[str, Any]


class CentralV2:
    """See https://docs.zerotier.com/openapi/central/v2.json."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @staticmethod
    def headers(token: str) -> dict[str, str]:
        """The credentials."""
        return {"Authorization": f"Bearer {token}"}

    @staticmethod
    def base(url: str) -> str:
        """Where the paths begin; the URL may be Central's own or the API's."""
        return url.rstrip("/").removesuffix(PATH) + PATH

    def network(self, network: str) -> Network:
        """GET /network/<id>."""
        return Network(network, settings(self._config(network)))

    def members(self, network: str) -> dict[str, Member]:
        """GET /network/<id>/member: all of them."""
        rows = _rows(self._call(network, "GET", f"/network/{network}/member"))
        members = [_member(row) for row in rows]
        for member in members:
            shapes.member(self.api.host, member.settings)
        return {member.node: member for member in members}

    def member(self, network: str, node: str) -> Member | None:
        """Out of the list: what is answered to the question for one that is not there is not laid down."""
        return self.members(network).get(node)

    def write_network(self, network: str, changes: Data) -> None:
        """POST /network/<id>."""
        config = {NAMES[key]: value for key, value in changes.items() if key in NAMES}
        if "routes" in changes:
            implied = _implied(self._config(network))
            config["routes"] = [_route(row) for row in changes["routes"] if row not in implied]
        if "ipAssignmentPools" in changes:
            config |= _by_family(POOLS, changes["ipAssignmentPools"], lambda row: row["ipRangeStart"])
        self._call(network, "POST", f"/network/{network}", {"config": config})

    def write_member(self, network: str, node: str, changes: Data) -> None:
        """Fields and authorization, which are calls of their own: nobody is in with the wrong addresses."""
        fields = pick(changes, ("name", "noAutoAssignIps"))
        if "ipAssignments" in changes:
            fields |= _by_family(ASSIGNMENTS, changes["ipAssignments"], lambda text: text.split("/")[0])
        path, authorized = f"/network/{network}/member", changes.get("authorized")
        known = self.member(network, node) is not None
        if known and authorized is False:
            self._call(network, "POST", f"{path}/{node}/de-authorize")
        if not known:
            self._call(network, "POST", path, [{"deviceId": node, **fields}])
        elif fields:
            self._call(network, "POST", f"{path}/{node}", fields)
        if authorized:
            self._call(network, "POST", f"{path}/{node}/authorize")

    def delete_member(self, network: str, node: str) -> None:
        """DELETE /network/<id>/member with a list of members in the body."""
        if self.member(network, node) is not None:
            self._call(network, "DELETE", f"/network/{network}/member", [{"deviceId": node}])

    def check_power(self, network: str, *, delete: bool = False) -> None:
        """An update without fields changes nothing, and who may not update is refused it.

        If it is refused for being empty, the network gets the name that it has.
        """
        data = _inside(self._call(network, "GET", f"/network/{network}"), "network")
        for body in ({}, pick(data, ("name",))):
            try:
                self.api.request("POST", f"/network/{network}", body)
            except StatusError as error:
                if error.code == 400:
                    continue
                if error.code == 403 and not _about_plan(error):
                    raise too_weak(self.api.host, network, "change it") from None
                raise words(error, network, self.api.host) from None
            return

    def _config(self, network: str) -> Data:
        data = _inside(self._call(network, "GET", f"/network/{network}"), "network")
        config = _inside(data, "config")
        if not config.keys() >= LISTS:  # written whole: taken for empty, what is there would be lost
            raise ZtgateError("new Central answered something that is no network", "is controller.url right?")
        for pools in POOLS.values():
            shapes.network(self.api.host, {"routes": config["routes"], "ipAssignmentPools": config[pools]})
        others = {ours: config[theirs] for ours, theirs in NAMES.items() if theirs in config}
        implied = [{"target": config[key]} for key in SUBNETS if config.get(key)]
        shapes.network(self.api.host, {**others, "routes": implied})
        return config

    def _call(self, network: str, method: str, path: str, body: Any = None) -> Any:
        try:
            return self.api.request(method, path, body)
        except StatusError as error:
            raise words(error, network, self.api.host) from None


def settings(config: Data) -> Data:
    """NETWORK_KEYS of a network's `config`."""
    found = {ours: config[theirs] for ours, theirs in NAMES.items() if theirs in config}
    found["routes"] = [*map(_route, config.get("routes") or []), *_implied(config)]
    found["ipAssignmentPools"] = [row for key in POOLS.values() for row in config.get(key) or []]
    return found


def words(error: StatusError, network: str, host: str) -> ZtgateError:
    """What is refused here for other reasons than elsewhere."""
    said = f": {error.said}" if error.said else ""
    if _about_plan(error):
        return ZtgateError(f"{host} does not offer its API to this organization ({error.code}){said}", PLAN)
    if error.code == 403:
        return ZtgateError(
            f"the token is valid at {host}, but not for network {network}, or there is none (403){said}",
            "check network:, and use a service account of the organization that owns it; " + PLAN,
        )
    return in_words(error, network, host, WHERE_TOKEN)


def _by_family(keys: dict[int, str], rows: list[Any], address: Callable[[Any], str]) -> dict[str, list[Any]]:
    return {
        key: [row for row in rows if ip_address(address(row)).version == version]
        for version, key in keys.items()
    }


def _about_plan(error: StatusError) -> bool:
    said = error.said.lower()
    return error.code == 402 or any(word in said for word in ("plan", "subscription", "entitle", "upgrade"))


def _route(row: Data) -> Data:
    """A route; one without a next hop has null there, however it came."""
    return {**row, "via": row.get("via") or None}


def _implied(config: Data) -> list[Data]:
    """Ranges of the network that are no routes."""
    routes = [row for row in config.get("routes") or [] if not row.get("via")]
    known = {ip_network(row["target"], strict=False) for row in routes}
    texts = [str(config[key]) for key in SUBNETS if config.get(key)]
    return [{"target": text, "via": None} for text in texts if ip_network(text, strict=False) not in known]


def _member(data: Data) -> Member:
    row = {**_inside(data, "member")}
    status = str(row.get("status") or "").lower().removeprefix("member_status_")
    found = {
        "authorized": status == "authorized",
        "ipAssignments": [str(text) for key in ASSIGNMENTS.values() for text in _list(row.get(key))],
        **pick(row, ("noAutoAssignIps",)),
    }
    node = str(row.get("deviceId") or row.get("nodeId") or "").lower()
    if len(node) != 10:
        raise ZtgateError("new Central lists a member without a node id", "is controller.url right?")
    put_out = status == "not_authorized" and shapes.moment(row.get("lastDeauthorizedTime")) > 0
    seen = shapes.moment(row.get("lastSeenTime"))
    return Member(node, str(row.get("name") or ""), found, put_out or status == "rejected", seen)


def _list(value: Any) -> list[Any]:
    """null stands for an empty one."""
    if not isinstance(value or [], list):
        raise ZtgateError("new Central lists a member with no list of addresses", "is controller.url right?")
    return value or []


def _inside(data: Any, key: str) -> Data:
    """An object, bare or under its own name."""
    inner = data.get(key, data) if isinstance(data, dict) else None
    if not isinstance(inner, dict):
        raise ZtgateError(f"new Central answered something without a {key}", "is controller.url right?")
    return inner


def _rows(data: Any) -> list[Data]:
    """A list, bare or under one of the names that others have met."""
    if isinstance(data, dict):
        data = next((data[key] for key in ("items", "members", "devices", "data") if key in data), None)
    if not isinstance(data, list):
        raise ZtgateError("new Central answered something that is no list", "is controller.url right?")
    return data
