"""The local API: /status, /network, /peer, /moon and their like, with the real one's statuses."""

import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any

from . import VERSION, VERSION_TEXT, addresses, controller_api, metrics, world
from .coerce import Json, to_bool, to_int, to_str
from .errors import StandinError
from .minihttp import Request, Response
from .node import Node
from .peers import Path, Peer
from .records import now_ms

_NO_TAP_PAUSE = 5.0  # seconds that the real daemon takes to notice that it cannot make a tap
_OPEN_TO_ALL = ("/health", "/sso")
Route = tuple[str, str, Callable[..., Response]]


def dump(value: Any) -> str:
    """JSON as the real daemon writes it: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Api:
    """Answers requests; each call may come from its own thread."""

    def __init__(self, node: Node, port: int) -> None:
        self._node = node
        self._port = port
        self._token = node.home.token("authtoken.secret")
        self._metrics_token = node.home.token("metricstoken.secret")
        self._routes: list[Route] = [
            ("GET", r"/status", self._status),
            ("GET", r"/health", self._health),
            ("GET", r"/metrics", self._metrics),
            ("GET", r"/config", self._get_config),
            ("POST", r"/config/settings", self._post_config),
            ("GET", r"/network", self._list_networks),
            ("GET", r"/network/([0-9a-fA-F]{16})", self._get_network),
            ("POST", r"/network/([0-9a-fA-F]{16})", self._join),
            ("DELETE", r"/network/([0-9a-fA-F]{16})", self._leave),
            ("GET", r"/peer", self._list_peers),
            ("GET", r"/peer/([0-9a-fA-F]{10})", self._get_peer),
            ("GET", r"/moon", self._list_moons),
            ("GET", r"/moon/([0-9a-fA-F]{10})", self._get_moon),
            ("POST", r"/moon/([0-9a-fA-F]{10})", self._orbit),
            ("DELETE", r"/moon/([0-9a-fA-F]{10})", self._deorbit),
            ("GET", r"/bond/show/([0-9a-fA-F]{10})", lambda _, __: Response(400, "{}")),  # never bonded
            *controller_api.routes(node.controller),
        ]

    def handle(self, request: Request) -> Response:
        """Check who asks, find what is asked for, and answer."""
        if not self._may(request):
            return Response(401, "{}")
        method = "POST" if request.method == "PUT" else request.method
        for wanted, pattern, handler in self._routes:
            match = re.fullmatch(pattern, request.path) if wanted == method else None
            if match is not None:
                return self._call(handler, request, match.groups())
        return Response(404)

    def _call(self, handler: Callable[..., Response], request: Request, parts: tuple[str, ...]) -> Response:
        try:
            if handler == self._join:
                reply = self._join(request, *parts)  # takes the lock itself: it may have to wait outside
            else:
                with self._node.lock:
                    reply = handler(request, *parts)
        except json.JSONDecodeError as error:
            where = (
                f"line {error.lineno}, column {error.colno}: syntax error while parsing value - {error.msg}"
            )
            reply = _failure(f"[json.exception.parse_error.101] parse error at {where}")
        except ValueError as error:
            reply = _failure(str(error))
        callback = request.query.get("jsonp")
        if callback is not None and reply.content_type == "application/json":
            return Response(reply.status, f"{callback}({reply.body or 'null'});", "application/javascript")
        return reply

    def _may(self, request: Request) -> bool:
        if request.path == "/metrics":  # from anywhere, given a token
            return self._has_token(request, self._metrics_token) or self._has_token(request, self._token)
        conf = self._node.home.local_conf()
        listed = (conf.get("settings") or {}).get("allowManagementFrom") or []
        prefixes = (addresses.parse(to_str(each)) for each in listed)
        if not request.remote.is_loopback and not any(
            each and each.contains(request.remote) for each in prefixes
        ):
            return False
        return request.path in _OPEN_TO_ALL or self._has_token(request, self._token)

    @staticmethod
    def _has_token(request: Request, token: str) -> bool:
        """Header, query, bearer: the first that is there counts."""
        bearer = request.headers.get("authorization", "")
        given = request.headers.get("x-zt1-auth")
        if given is None:
            given = request.query.get("auth")
        if given is None and bearer.lower().startswith("bearer "):
            given = bearer[7:].strip()
        return given is not None and hmac.compare_digest(given.encode(), token.encode())

    # -- node ------------------------------------------------------------------------------------------

    def _version(self) -> Json:
        major, minor, revision = VERSION
        numbers = {"versionMajor": major, "versionMinor": minor, "versionRev": revision, "versionBuild": 0}
        return {"version": VERSION_TEXT, **numbers, "clock": now_ms(), "online": self._node.paths.online}

    def _health(self, _: Request) -> Response:
        return Response(200, dump(self._version()))

    def _status(self, _: Request) -> Response:
        node = self._node
        conf = node.home.local_conf()
        settings = conf.get("settings") if isinstance(conf.get("settings"), dict) else {}
        conf["settings"] = {
            **(settings or {}),
            "allowTcpFallbackRelay": to_bool((settings or {}).get("allowTcpFallbackRelay"), True),
            "forceTcpRelay": to_bool((settings or {}).get("forceTcpRelay")),
            "homeDir": str(node.home.path),
            "listeningOn": node.paths.links.listening_on(),
            "portMappingEnabled": to_bool((settings or {}).get("portMappingEnabled"), True),
            "primaryPort": self._port,
            "secondaryPort": to_int((settings or {}).get("secondaryPort")),
            "tertiaryPort": to_int((settings or {}).get("tertiaryPort")),
            "softwareUpdate": to_str((settings or {}).get("softwareUpdate"), "disable"),
            "softwareUpdateChannel": to_str((settings or {}).get("softwareUpdateChannel"), "release"),
            "surfaceAddresses": sorted(set(node.paths.surface.values())),
        }
        planet = next((each for each in node.paths.worlds.values() if not each.is_moon), None)
        planet_id, planet_time = world.DEFAULT_PLANET_ID, world.DEFAULT_PLANET_TIMESTAMP
        return Response(
            200,
            dump(
                {
                    **self._version(),
                    "address": node.identity.address_text,
                    "publicIdentity": node.identity.public_text,
                    "tcpFallbackActive": False,
                    "config": conf,
                    "planetWorldId": planet.id if planet else planet_id,
                    "planetWorldTimestamp": planet.timestamp if planet else planet_time,
                }
            ),
        )

    def _metrics(self, _: Request) -> Response:
        return Response(200, metrics.text(self._node), "text/plain")

    def _get_config(self, _: Request) -> Response:
        return Response(200, dump(self._node.home.local_conf()))

    def _post_config(self, request: Request) -> Response:
        body = json.loads(request.body)
        if isinstance(body, dict):
            conf = self._node.home.local_conf()
            conf["settings"] = {**(conf.get("settings") or {}), **body}
            self._node.home.write("local.conf", json.dumps(conf, indent=4))
        return Response(200, "{}")

    # -- networks --------------------------------------------------------------------------------------

    def _list_networks(self, _: Request) -> Response:
        networks = self._node.switch.networks
        return Response(200, dump([networks[nwid].as_json() for nwid in sorted(networks)]))

    def _get_network(self, _: Request, nwid: str) -> Response:
        net = self._node.switch.networks.get(int(nwid, 16))
        return Response(200, dump(net.as_json())) if net is not None else Response(404, "{}")

    def _join(self, request: Request, nwid: str) -> Response:
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            body = {}
        try:
            with self._node.lock:
                net = self._node.join(int(nwid, 16))
                self._node.change_settings(net, body if isinstance(body, dict) else {})
                return Response(200, dump(net.as_json()))
        except StandinError:
            time.sleep(_NO_TAP_PAUSE)  # what a caller of the real one has to live with
            return Response(200, "{}")

    def _leave(self, _: Request, nwid: str) -> Response:
        left = self._node.leave(int(nwid, 16))
        return Response(200, '{"result":true}' if left else "{}")

    # -- peers -----------------------------------------------------------------------------------------

    def _list_peers(self, _: Request) -> Response:
        return Response(200, dump([_peer_json(peer) for peer in self._node.paths.peers.values()]))

    def _get_peer(self, _: Request, address: str) -> Response:
        peer = self._node.paths.peers.get(int(address, 16))
        return Response(200, dump(_peer_json(peer)) if peer is not None else "{}")

    # -- moons -----------------------------------------------------------------------------------------

    def _moons(self) -> list[world.World]:
        return [each for each in self._node.paths.worlds.values() if each.is_moon]

    def _list_moons(self, _: Request) -> Response:
        return Response(200, dump([moon.as_json() for moon in self._moons()]))

    def _get_moon(self, _: Request, number: str) -> Response:
        found = [moon.as_json() for moon in self._moons() if moon.id == int(number, 16)]
        return Response(200, dump(found[0] if found else {}))

    def _orbit(self, request: Request, number: str) -> Response:
        found = [moon.as_json() for moon in self._moons() if moon.id == int(number, 16)]
        if found:
            return Response(200, dump(found[0]))
        try:
            seed = int(to_str(json.loads(request.body).get("seed"), "0"), 16)
        except (ValueError, AttributeError):
            seed = 0
        if not seed:
            return Response(200, "{}")
        self._node.waiting_moons[int(number, 16)] = seed
        waiting = {"id": f"{int(number, 16):016x}", "roots": [], "timestamp": 0, "waiting": True}
        return Response(200, dump({**waiting, "signature": None, "updatesMustBeSignedBy": None}))

    def _deorbit(self, _: Request, number: str) -> Response:
        self._node.forget_moon(int(number, 16))
        return Response(200, '{"result":true}')


def _failure(text: str) -> Response:
    return Response(500, f'{{"error": 500, "description": "{text}"}}')


def _peer_json(peer: Peer) -> Json:
    now = time.monotonic()
    major, minor, revision = peer.version
    best = peer.preferred
    return {
        "address": f"{peer.node:010x}",
        "versionMajor": major,
        "versionMinor": minor,
        "versionRev": revision,
        "version": f"{major}.{minor}.{revision}",
        "latency": round(best.latency * 1000) if best is not None else -1,
        "role": peer.role,
        "isBonded": False,
        "tunneled": False,
        "paths": [_path_json(path, path is best, now) for path in peer.paths.values() if path.alive(now)],
    }


def _path_json(path: Path, preferred: bool, now: float) -> Json:
    def at(moment: float) -> int:
        return max(now_ms() - round((now - moment) * 1000), 0) if moment > 0 else 0

    return {
        "address": str(path.address),
        "lastSend": at(path.last_send),
        "lastReceive": at(path.last_receive),
        "trustedPathId": 0,
        "active": True,
        "expired": False,
        "preferred": preferred,
        "localSocket": path.link.socket.fileno(),
        "localPort": path.link.socket.getsockname()[1],
    }
