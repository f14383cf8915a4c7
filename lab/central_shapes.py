"""The shapes of Central v1, made from those of a controller, and back. No input or output here.

Sources, to be weighed in this order:
- replies of the real Central that users published: a network and its members of 2023 in a fixture of the
  ztnet project; members in ZeroTierOne issue 1960 (2023); a network after a partial POST with
  ``mtu: null`` in discuss.zerotier.com topic 16104 (2023);
- the OpenAPI description docs.zerotier.com/openapi/central/v1.json: which fields exist and are read only;
- controller/EmbeddedNetworkController.cpp of ZeroTierOne 1.14.1, and replies of that daemon.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

OWNER = "00000000-0000-4000-8000-000000000001"
USER = "00000000-0000-4000-8000-000000000002"  # whose token it is
ALL_RIGHTS = {"a": True, "d": True, "m": True, "r": True}
ONLINE = 300_000  # ms since it was last seen that a member counts as online


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What the controller takes (networkUpdateFromPostData and memberPost). Everything else that a client
# writes into `config` is Central's own, and the facade keeps it.
NETWORK_SETTINGS = _words("""
    capabilities dns enableBroadcast ipAssignmentPools mtu multicastLimit name private remoteTraceLevel
    remoteTraceTarget routes rules tags v4AssignMode v6AssignMode""")
MEMBER_SETTINGS = _words("""
    activeBridge authorized capabilities ipAssignments noAutoAssignIps remoteTraceLevel remoteTraceTarget
    tags""")
# Writes to these are ignored (readOnly in the OpenAPI description, or Central's own business).
READ_ONLY = _words("""
    id type clock ownerId onlineMemberCount authorizedMemberCount totalMemberCount networkId nodeId
    controllerId lastOnline lastSeen physicalAddress physicalLocation clientVersion protocolVersion
    supportsRulesEngine""")
CONFIG_READ_ONLY = _words("""
    address authTokens creationTime id identity lastAuthorizedTime lastDeauthorizedTime lastModified nwid
    objtype revision vMajor vMinor vProto vRev""")
# What a member's `config` shows of the controller's member.
MEMBER_CONFIG = (MEMBER_SETTINGS | CONFIG_READ_ONLY | {"ssoExempt"}) - {"authTokens", "lastModified"}


@dataclass
class Own:
    """What only Central knows of a network or member: fields of the object, and of its `config`."""

    fields: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    modified: int = 0  # Unix time, ms


def take(own: Own, body: Mapping[str, Any], settings: frozenset[str]) -> Json:
    """Merge what a client wrote into ``own``, and return what of it is the controller's.

    Keys that are missing or null leave things as they are (``mtu: null`` did, in topic 16104); the merge
    is one level deep, so that arrays and inner objects are replaced whole.
    """
    config = _given(body.get("config") or {}, CONFIG_READ_ONLY)
    own.fields |= _given(body, READ_ONLY | {"config"})
    own.config |= {key: value for key, value in config.items() if key not in settings}
    return {key: value for key, value in config.items() if key in settings}


def _given(values: Mapping[str, Any], ignored: frozenset[str]) -> Json:
    return {key: value for key, value in values.items() if value is not None and key not in ignored}


def network(stored: Json, own: Own, members: Iterable[Json], clock: int, rights: Json = ALL_RIGHTS) -> Json:
    """A network as Central shows it to USER; ``members`` are those of `member`, for the counts."""
    members = list(members)
    return {
        "id": stored["id"],
        "type": "Network",
        "clock": clock,
        "config": _network_config(stored, own),
        "description": "",
        "rulesSource": "accept;",
        "permissions": {OWNER: ALL_RIGHTS, USER: rights},
        "ownerId": OWNER,
        "onlineMemberCount": sum(clock - member["lastSeen"] < ONLINE for member in members),
        "authorizedMemberCount": sum(bool(member["config"].get("authorized")) for member in members),
        "totalMemberCount": len(members),
        "capabilitiesByName": {},
        "tagsByName": {},
        "ui": None,
        **own.fields,
    }


def _network_config(stored: Json, own: Own) -> Json:
    created = stored.get("creationTime", 0)
    return {
        "authTokens": None,
        "creationTime": created,
        "id": stored["id"],
        "lastModified": own.modified or created,
        "ssoConfig": {"enabled": False, "mode": ""},
        **{key: stored[key] for key in sorted(NETWORK_SETTINGS & stored.keys())},
        # The controller shows [] where nothing was set, and no keys that a write left out.
        "dns": stored.get("dns") or {"domain": "", "servers": None},
        "v6AssignMode": {
            "6plane": False,
            "rfc4193": False,
            "zt": False,
            **(stored.get("v6AssignMode") or {}),
        },
        "routes": [_route(route) for route in stored.get("routes", [])],
        **own.config,
    }


def _route(stored: Json) -> Json:
    """A route; one without a next hop has no ``via`` at all, where the controller says null."""
    return {key: stored[key] for key in ("target", "via") if stored.get(key) is not None}


def member(stored: Json, own: Own, peer: Json | None, clock: int) -> Json:
    """A member as Central shows it; ``peer`` is what the controller's node knows of that node."""
    nwid, node = stored["nwid"], stored["id"]
    seen, where = _sight(peer)
    version = [stored.get(key, -1) for key in ("vMajor", "vMinor", "vRev")]
    return {
        "id": f"{nwid}-{node}",
        "type": "Member",
        "clock": clock,
        "networkId": nwid,
        "nodeId": node,
        "controllerId": nwid[:10],
        "hidden": False,
        "name": stored.get("name", ""),
        "description": "",
        "config": {**{key: stored[key] for key in sorted(MEMBER_CONFIG & stored.keys())}, **own.config},
        "lastOnline": seen,
        "lastSeen": seen,
        "physicalAddress": where,
        "physicalLocation": None,
        "clientVersion": ".".join(map(str, version)),
        "protocolVersion": stored.get("vProto", -1),
        "supportsRulesEngine": version >= [1, 2, 0],
        **own.fields,
    }


def _sight(peer: Json | None) -> tuple[int, str | None]:
    """When and where a node was last seen: Unix time in ms, and its address without the port."""
    paths = sorted(peer["paths"], key=lambda path: int(path["lastReceive"])) if peer else []
    if not paths:
        return 0, None
    return int(paths[-1]["lastReceive"]), str(paths[-1]["address"]).partition("/")[0]


def status(authenticated: bool, clock: int, uptime: int) -> Json:
    """The answer of ``/status``: ``user`` says whether the token is good."""
    user = {
        "id": USER,
        "orgId": "",
        "globalPermissions": dict.fromkeys(ALL_RIGHTS, False),
        "displayName": "The lab",
        "email": "lab@example.net",
        "auth": {"local": "lab@example.net", "google": None, "oidc": None},
        "tokens": ["lab"],
    }
    return {
        "id": "central_status",
        "type": "CentralStatus",
        "clock": clock,
        "version": "1.6.5",
        "apiVersion": "4",
        "uptime": uptime,
        "user": user if authenticated else None,
        "readOnlyMode": False,
        "loginMethods": {"local": True, "google": True, "oidc": True},
    }
