"""What a controller tells a member about a network."""

from dataclasses import dataclass
from typing import NamedTuple

from . import addresses
from .addresses import IP, Inet
from .coerce import Json, to_bool, to_int, to_str

DEFAULT_MTU = 2800
MIN_MTU, MAX_MTU = 1280, 10000


class Route(NamedTuple):
    """A route of a network."""

    target: Inet
    via: IP | None

    def as_json(self) -> Json:
        """The form of the local API."""
        via = None if self.via is None else str(self.via)
        return {"target": str(self.target), "via": via, "flags": 0, "metric": 0}


@dataclass(frozen=True)
class Config:
    """A network's configuration for one member; the defaults are what stands in until it has come."""

    revision: int = 0
    name: str = ""
    private: bool = True
    mtu: int = DEFAULT_MTU
    multicast_limit: int = 32
    broadcast: bool = False
    emulate_nd: bool = False
    routes: tuple[Route, ...] = ()
    addresses: tuple[Inet, ...] = ()
    dns_domain: str = ""
    dns_servers: tuple[str, ...] = ()
    members: frozenset[int] = frozenset()
    key: bytes = b""


def parse_routes(raw: object) -> tuple[Route, ...]:
    """Routes from JSON; a next hop of the other family is none."""
    found = []
    for each in raw if isinstance(raw, list) else []:
        target = addresses.parse(to_str(each.get("target")))
        via = addresses.parse(to_str(each.get("via")))
        if target is not None:
            same = via is not None and via.ip.version == target.ip.version
            found.append(Route(target, via.ip if via is not None and same else None))
    return tuple(found)


def parse(raw: Json) -> Config:
    """Read what `as_json` of the controller wrote."""
    assigned = (addresses.parse(to_str(each)) for each in raw.get("addresses") or [])
    dns = raw.get("dns") or {}
    return Config(
        revision=to_int(raw.get("revision")),
        name=to_str(raw.get("name")),
        private=to_bool(raw.get("private"), True),
        mtu=to_int(raw.get("mtu"), DEFAULT_MTU),
        multicast_limit=to_int(raw.get("multicastLimit")),
        broadcast=to_bool(raw.get("broadcast")),
        emulate_nd=to_bool(raw.get("emulateNd")),
        routes=parse_routes(raw.get("routes")),
        addresses=tuple(each for each in assigned if each is not None),
        dns_domain=to_str(dns.get("domain")),
        dns_servers=tuple(to_str(server) for server in dns.get("servers") or []),
        members=frozenset(int(to_str(member), 16) for member in raw.get("members") or []),
        key=bytes.fromhex(to_str(raw.get("key"))),
    )
