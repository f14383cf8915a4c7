"""Sets of root nodes. The real files are binary and signed; these are JSON, and signed for show only."""

import hashlib
import json
import os
from dataclasses import dataclass

from . import addresses, identity
from .addresses import Inet
from .coerce import Json, to_int, to_str

DEFAULT_PLANET_ID = 149604618  # the real one's, reported although nothing here knows its roots
DEFAULT_PLANET_TIMESTAMP = 1644592324813


@dataclass(frozen=True)
class Root:
    """A root node and where it always is."""

    identity: identity.Identity
    endpoints: tuple[Inet, ...]  # an Inet's number is the UDP port here


@dataclass(frozen=True)
class World:
    """A moon or a planet."""

    id: int
    is_moon: bool
    timestamp: int
    roots: tuple[Root, ...]
    raw: Json

    @property
    def file_name(self) -> str:
        """The name it has in moons.d."""
        return f"{self.id:016x}.moon"

    def as_json(self) -> Json:
        """The form of the local API."""
        roots = [
            {"identity": root.identity.public_text, "stableEndpoints": [str(e) for e in root.endpoints]}
            for root in self.roots
        ]
        return {
            "id": f"{self.id:016x}",
            "timestamp": self.timestamp,
            "signature": to_str(self.raw.get("signature")),
            "updatesMustBeSignedBy": to_str(self.raw.get("updatesMustBeSignedBy")),
            "roots": roots,
            "waiting": False,
        }


def parse(text: str) -> World | None:
    """Read a world file of this stand-in; None for anything else, the real binary ones included."""
    try:
        raw = json.loads(text)
        number = int(str(raw["id"]), 16)
    except (ValueError, KeyError, TypeError):
        return None
    roots = tuple(root for root in map(_root, raw.get("roots") or []) if root is not None)
    return World(number, raw.get("worldType") != "planet", to_int(raw.get("timestamp")), roots, raw)


def _root(raw: Json) -> Root | None:
    who = identity.parse(to_str(raw.get("identity")))
    if who is None:
        return None
    points = (addresses.parse(to_str(point)) for point in raw.get("stableEndpoints") or [])
    return Root(who, tuple(point for point in points if point is not None and point.bits))


def draft(root: identity.Identity) -> Json:
    """What initmoon prints: a moon of one root, to be completed with stableEndpoints."""
    secret = os.urandom(64)
    public = hashlib.sha512(secret).hexdigest()
    return {
        "id": root.address_text,
        "objtype": "world",
        "roots": [{"identity": root.public_text, "stableEndpoints": []}],
        "signingKey": public,
        "signingKey_SECRET": secret.hex(),
        "updatesMustBeSignedBy": public,
        "worldType": "moon",
    }


def seal(raw: Json, timestamp: int) -> Json:
    """What genmoon writes: the draft without its secret, with a time."""
    kept = {key: value for key, value in raw.items() if not key.startswith("signingKey")}
    marked = {**kept, "timestamp": timestamp, "note": "written by a lab stand-in, not ZeroTier"}
    digest = hashlib.sha512(json.dumps(marked, sort_keys=True).encode()).hexdigest()
    return {**marked, "signature": digest[:96] + digest[:96]}
