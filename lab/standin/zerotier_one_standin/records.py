"""The controller's records of networks and members: their fields, defaults, and what a POST changes."""

import time
from collections.abc import Callable
from typing import Any

from . import addresses
from .addresses import Inet
from .coerce import Json, to_bool, to_int, to_str
from .config import DEFAULT_MTU, MAX_MTU, MIN_MTU

_ARRAY_LIMIT = 16384
_ACCEPT_ALL: Json = {"not": False, "or": False, "type": "ACTION_ACCEPT"}
_ACTIONS = tuple(f"ACTION_{word}" for word in ("ACCEPT", "BREAK", "DROP", "REDIRECT", "TEE", "WATCH"))


def now_ms() -> int:
    """The time as every reply has it: milliseconds since 1970."""
    return int(time.time() * 1000)


def new_network(nwid: int) -> Json:
    """A network nobody has described yet."""
    name = f"{nwid:016x}"
    return {
        "id": name,
        "nwid": name,
        "objtype": "network",
        "private": True,
        "creationTime": now_ms(),
        "name": "",
        "multicastLimit": 32,
        "enableBroadcast": True,
        "v4AssignMode": {"zt": False},
        "v6AssignMode": {"rfc4193": False, "zt": False, "6plane": False},
        "authTokens": [None],
        "capabilities": [],
        "tags": [],
        "routes": [],
        "ipAssignmentPools": [],
        "mtu": DEFAULT_MTU,
        "remoteTraceTarget": None,
        "remoteTraceLevel": 0,
        "rulesSource": "",
        "rules": [dict(_ACCEPT_ALL)],
        "dns": [],
        "ssoEnabled": False,
        "clientId": "",
        "authorizationEndpoint": "",
    }


def new_member(nwid: int, node: int) -> Json:
    """A member nobody has described yet."""
    return {
        "id": f"{node:010x}",
        "address": f"{node:010x}",
        "nwid": f"{nwid:016x}",
        "objtype": "member",
        "authorized": False,
        "ssoExempt": False,
        "ipAssignments": [],
        "activeBridge": False,
        "tags": [],
        "capabilities": [],
        "creationTime": now_ms(),
        "noAutoAssignIps": False,
        "revision": 0,
        "lastDeauthorizedTime": 0,
        "lastAuthorizedTime": 0,
        "lastAuthorizedCredentialType": None,
        "lastAuthorizedCredential": None,
        "authenticationExpiryTime": 0,
        "vMajor": -1,
        "vMinor": -1,
        "vRev": -1,
        "vProto": -1,
        "remoteTraceTarget": None,
        "remoteTraceLevel": 0,
    }


def update_network(network: Json, body: Json) -> Json:
    """A network with a POST's fields: what is of the wrong kind is ignored, arrays replace whole."""
    changed = dict(network)
    for key, read in _NETWORK_FIELDS.items():
        if key in body:
            value = read(body[key])
            if value is not _UNCHANGED:
                changed[key] = value
    return changed


def update_member(member: Json, body: Json) -> Json:
    """A member with a POST's fields."""
    changed = dict(member)
    for key, read in _MEMBER_FIELDS.items():
        if key in body:
            value = read(body[key])
            if value is not _UNCHANGED:
                changed[key] = value
    if changed["authorized"] != member["authorized"]:
        set_authorized(changed, bool(changed["authorized"]), "api")
    return changed


def set_authorized(member: Json, authorized: bool, credential: str) -> None:
    """Note that a member has been let in or put out, and when."""
    member["authorized"] = authorized
    member["lastAuthorizedTime" if authorized else "lastDeauthorizedTime"] = now_ms()
    if authorized:
        member["lastAuthorizedCredentialType"] = credential
        member["lastAuthorizedCredential"] = None


_UNCHANGED = object()
Reader = Callable[[Any], Any]


def _list_of(read: Callable[[Any], Any]) -> Reader:
    def reader(value: Any) -> Any:
        if not isinstance(value, list):
            return _UNCHANGED
        return [item for item in map(read, value) if item is not None][:_ARRAY_LIMIT]

    return reader


def _mtu(value: Any) -> int:
    return max(min(to_int(value, DEFAULT_MTU), MAX_MTU), MIN_MTU)


def _node_or_none(value: Any) -> str | None:
    text = to_str(value)
    return text if len(text) == 10 else None


def _v4_mode(value: Any) -> Json:
    if isinstance(value, str):
        return {"zt": value == "zt"}
    return {"zt": to_bool(value.get("zt"))} if isinstance(value, dict) else {"zt": False}


def _v6_mode(value: Any) -> Json:
    keys = ("rfc4193", "zt", "6plane")
    if isinstance(value, dict):  # keys that are not given are gone afterwards
        return {key: to_bool(value[key]) for key in keys if key in value}
    words = value.split(",") if isinstance(value, str) else []
    return {key: key in words for key in keys}


def _route(value: Any) -> Json | None:
    if not isinstance(value, dict) or not isinstance(value.get("target"), str):
        return None
    target = addresses.parse(value["target"])
    via = addresses.parse(value["via"]) if isinstance(value.get("via"), str) else None
    if target is None or target.bits > target.width:
        return None
    same = via is not None and via.ip.version == target.ip.version
    return {"target": str(target), "via": str(via.ip) if via is not None and same else None}


def _pool(value: Any) -> Json | None:
    if not isinstance(value, dict):
        return None
    ends: list[Inet] = []
    for key in ("ipRangeStart", "ipRangeEnd"):
        end = addresses.parse(to_str(value.get(key)))
        if end is None:
            return None
        ends.append(end)
    if ends[0].ip.version != ends[1].ip.version:
        return None
    return {"ipRangeStart": str(ends[0].ip), "ipRangeEnd": str(ends[1].ip)}


def _rule(value: Any) -> Json | None:
    """A rule of a known kind; kept, and never enforced: every rule set here lets everything pass."""
    kind = to_str(value.get("type")) if isinstance(value, dict) else ""
    if kind in _ACTIONS:
        return dict(value)
    return {"not": False, "or": False, **value} if kind.startswith("MATCH_") else None


def _dns(value: Any) -> Any:
    if not isinstance(value, dict):
        return _UNCHANGED
    servers = value.get("servers")
    return {
        "domain": value.get("domain"),
        **({"servers": list(servers)} if isinstance(servers, list) else {}),
    }


def _auth_tokens(value: Any) -> Any:
    if not isinstance(value, dict):
        return [None]
    numbers = {key: each for key, each in value.items() if isinstance(each, int | float) and each >= 0}
    return numbers or None


def _address(value: Any) -> str | None:
    if not isinstance(value, str):
        raise ValueError("[json.exception.type_error.302] type must be string, but is another")
    found = addresses.parse(value)
    return None if found is None else str(found.ip)


def _tag(value: Any) -> Json | None:
    if not isinstance(value, dict):
        return None
    default = value.get("default")
    return {"id": to_int(value.get("id")), "default": default if default is None else to_int(default)}


def _capability(value: Any) -> Json | None:
    if not isinstance(value, dict):
        return None
    rules = _list_of(_rule)(value.get("rules") or [])
    return {"id": to_int(value.get("id")), "default": to_bool(value.get("default")), "rules": rules}


def _by_id(read: Reader) -> Reader:
    def reader(value: Any) -> Any:
        found = _list_of(read)(value)
        return found if found is _UNCHANGED else sorted(found, key=lambda each: int(each["id"]))

    return reader


def _member_capabilities(value: Any) -> Any:
    return sorted({to_int(each) for each in value}) if isinstance(value, list) else _UNCHANGED


def _member_tag(value: Any) -> list[int] | None:
    return [to_int(each) for each in value] if isinstance(value, list) and len(value) == 2 else None


_NETWORK_FIELDS: dict[str, Reader] = {
    "name": to_str,
    "private": lambda value: to_bool(value, True),
    "enableBroadcast": to_bool,
    "multicastLimit": lambda value: to_int(value, 32),
    "mtu": _mtu,
    "remoteTraceTarget": _node_or_none,
    "remoteTraceLevel": to_int,
    "v4AssignMode": _v4_mode,
    "v6AssignMode": _v6_mode,
    "routes": _list_of(_route),
    "ipAssignmentPools": _list_of(_pool),
    "rules": _list_of(_rule),
    "authTokens": _auth_tokens,
    "capabilities": _by_id(_capability),
    "tags": _by_id(_tag),
    "dns": _dns,
}
_MEMBER_FIELDS: dict[str, Reader] = {
    "activeBridge": to_bool,
    "noAutoAssignIps": to_bool,
    "authenticationExpiryTime": to_int,
    "name": to_str,
    "remoteTraceTarget": _node_or_none,
    "remoteTraceLevel": to_int,
    "authorized": to_bool,
    "ipAssignments": _list_of(_address),
    "tags": _list_of(_member_tag),
    "capabilities": _member_capabilities,
}
