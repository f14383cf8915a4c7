"""The shapes of Central v2, made from those of a controller, and back. No input or output here.

Source: the OpenAPI description docs.zerotier.com/openapi/central/v2.json, schemas NetworkResponse,
NetworkConfigRequest, NetworkMember, PostMembersRequest and UpdateMemberRequest, as the client shows them that
github.com/Fromsko/zerotier-sdk generated from it in 2026.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

Json = dict[str, Any]

GROUP = "00000000-0000-4000-8000-000000000010"
ORG = {"id": "00000000-0000-4000-8000-000000000011", "name": "The lab"}
# By the name in v2: the controller's name, and what a value has to be.
CONFIG: dict[str, tuple[str, type]] = {
    "private": ("private", bool),
    "enableBroadcast": ("enableBroadcast", bool),
    "mtu": ("mtu", int),
    "multicastLimit": ("multicastLimit", int),
    "routes": ("routes", list),
    "dns": ("dns", dict),
    "v4AssignmentMode": ("v4AssignMode", dict),
    "v6AssignmentMode": ("v6AssignMode", dict),
}
POOLS = {4: "v4IpAssignmentPools", 6: "v6IpAssignmentPools"}
ASSIGNMENTS = {4: "ipv4Assignments", 6: "ipv6Assignments"}
# Not there for what has never happened. So they tell a member that was put out from one that has only asked.
TIMES = ("lastAuthorizedTime", "lastDeauthorizedTime")
MEMBER: dict[str, type] = {
    "name": str,
    "description": str,
    "activeBridge": bool,
    "noAutoAssignIps": bool,
    **dict.fromkeys(ASSIGNMENTS.values(), list),
}
NETWORK: dict[str, type] = {"name": str, "description": str, "config": dict}
WRITABLE = {name: kind for name, (_, kind) in CONFIG.items()} | dict.fromkeys(POOLS.values(), list)


def faults(body: object, allowed: Mapping[str, type], prefix: str = "") -> list[Json]:
    """What is wrong with a body, as ``details`` of an error: fields that are unknown or of another kind."""
    if not isinstance(body, dict):
        return [{"field": prefix.rstrip("."), "message": "is no object"}]
    found = []
    for key, value in body.items():
        if key not in allowed:
            found.append({"field": prefix + key, "message": "is unknown"})
        elif not isinstance(value, allowed[key]):
            found.append({"field": prefix + key, "message": f"is no {allowed[key].__name__}"})
    return found


def take_config(config: Json, stored: Json) -> Json:
    """What a network's ``config`` sets at the controller; of its pools one family may stay as it is."""
    settings = {ours: config[name] for name, (ours, _) in CONFIG.items() if name in config}
    if any(key in config for key in POOLS.values()):
        now = by_family(stored["ipAssignmentPools"]) | {
            n: config[key] for n, key in POOLS.items() if key in config
        }
        settings["ipAssignmentPools"] = [*now[4], *now[6]]
    return settings


def take_member(body: Json, stored: Json) -> Json:
    """What a member's fields set at the controller."""
    settings = {key: body[key] for key in ("name", "activeBridge", "noAutoAssignIps") if key in body}
    if any(key in body for key in ASSIGNMENTS.values()):
        now = assignments(stored) | {key: body[key] for key in ASSIGNMENTS.values() if key in body}
        settings["ipAssignments"] = [ip for key in ASSIGNMENTS.values() for ip in now[key]]
    return settings


def by_family(pools: list[Json]) -> dict[int, list[Json]]:
    """Pools of IPv4 and of IPv6."""
    return {n: [row for row in pools if ip_address(row["ipRangeStart"]).version == n] for n in POOLS}


def assignments(stored: Json) -> Json:
    """A member's addresses by family."""
    texts = stored.get("ipAssignments", [])
    return {key: [ip for ip in texts if ip_address(ip).version == n] for n, key in ASSIGNMENTS.items()}


def network(stored: Json, description: str) -> Json:
    """A network; ``description`` is what only Central keeps."""
    pools = by_family(stored["ipAssignmentPools"])
    modes = {"6plane": False, "rfc4193": False, "zt": False}
    return {
        "id": stored["id"],
        "name": stored["name"],
        "description": description,
        "kind": "v1",
        "networkGroupId": GROUP,
        "creationTime": time(stored["creationTime"]),
        "lastModified": time(stored["creationTime"]),
        "config": {
            **{name: stored[ours] for name, (ours, _) in CONFIG.items()},
            **{key: pools[version] for version, key in POOLS.items()},
            "dns": stored["dns"] or {"domain": "", "servers": []},
            "v6AssignmentMode": modes | stored["v6AssignMode"],
            "v4Subnet": "",
            "v6Subnet": "",
        },
    }


def member(stored: Json, description: str) -> Json:
    """A member; what a controller does not know of its device is empty."""
    return {
        **dict.fromkeys(("arch", "os", "macAddress", "lastSeenIp"), ""),
        **dict.fromkeys(("ipAssignment6plane", "ipAssignmentRfc4193"), ""),
        **assignments(stored),
        "activeBridge": stored["activeBridge"],
        "agentVersion": ".".join(str(stored[key]) for key in ("vMajor", "vMinor", "vRev")),
        "capabilities": [str(each) for each in stored["capabilities"]],
        "creationTime": time(stored["creationTime"]),
        "description": description,
        "deviceId": stored["id"],
        "identity": stored.get("identity", ""),
        **{key: time(stored[key]) for key in TIMES if stored.get(key)},
        "lastModified": time(stored["creationTime"]),
        "lastSeen": {},
        "name": stored.get("name", ""),
        "networkId": stored["nwid"],
        "noAutoAssignIps": stored["noAutoAssignIps"],
        "revision": stored["revision"],
        "status": "authorized" if stored["authorized"] else "not_authorized",
        "tags": [str(each) for each in stored["tags"]],
    }


def time(clock: int) -> str:
    """A time (Unix, in ms) as RFC 3339 has it."""
    return datetime.fromtimestamp(clock / 1000, UTC).isoformat().replace("+00:00", "Z")
