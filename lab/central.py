"""ZeroTier Central v1 in front of a real controller, or that controller's own API, over TLS.

The facade keeps no networks: every call reads from, and writes to, a ZeroTier daemon's local API, so that
members get what was written. Only what a controller has no place for (descriptions and the like) is here.

Statuses. 401 and 403 without a valid token or without rights, 404 for what is not there: the OpenAPI
description docs.zerotier.com/openapi/central/v1.json. It gives no bodies for errors; users saw
``{"type": "internal", "message": ...}`` (zerotier/github-action issue 10, ZeroTierOne issue 1366). It
declares no error for /status, whose ``user`` is null for a bad token. Deleting a member that is not there
is 200 (ZeroTierOne issue 1080). POST to an unknown member creates it: that is how zerotier/go-ztcentral
authorizes nodes ahead (CreateAuthorizedMember). PUT is POST, the content type is not looked at
(my.zerotier.com/central-api.html), and ``bearer`` is taken for ``token``, as go-ztcentral sends it.

Otherwise than the real one: unknown fields are kept, not dropped, so that tests can see whether a
client loses them; ``rulesSource`` is kept as text and not compiled into rules; there is no rate limit.
"""

import argparse
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import central_shapes as shapes
from lab import httpd, tls
from lab.central_shapes import Own
from lab.central_upstream import Upstream, UpstreamError
from lab.errors import LabError
from lab.httpd import Reply, Request, bytes_reply, json_reply

Json = dict[str, Any]
BASE = "/api/v1"
NETWORK, NODE = "/([0-9a-f]{16})", "/([0-9a-f]{10})"


class Refused(Exception):
    """A request that gets an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Central:
    """The facade. ``foreign`` are networks that exist and belong to somebody else."""

    def __init__(self, controller: Upstream, token: str, foreign: frozenset[str] = frozenset()) -> None:
        self._controller, self._token, self._foreign = controller, token, foreign
        self._started = time.monotonic()
        self._own: dict[tuple[str, ...], Own] = {}
        self._write_lock = threading.Lock()  # the last write wins, but each is whole
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., object]]] = [
            ("GET", re.compile("/network"), self._list_networks),
            ("POST", re.compile("/network"), self._create_network),
            ("GET", re.compile("/network" + NETWORK), self._get_network),
            ("POST", re.compile("/network" + NETWORK), self._set_network),
            ("DELETE", re.compile("/network" + NETWORK), self._delete_network),
            ("GET", re.compile("/network" + NETWORK + "/member"), self._list_members),
            ("GET", re.compile("/network" + NETWORK + "/member" + NODE), self._get_member),
            ("POST", re.compile("/network" + NETWORK + "/member" + NODE), self._set_member),
            ("DELETE", re.compile("/network" + NETWORK + "/member" + NODE), self._delete_member),
        ]

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            value = self._answer(request)
        except Refused as refused:
            return json_reply(refused.status, {"type": "internal", "message": str(refused)})
        except UpstreamError as error:
            return json_reply(502, {"type": "internal", "message": error.message})
        return bytes_reply(200, b"", "") if value is None else json_reply(200, value)

    def _answer(self, request: Request) -> object:
        path = request.path.removeprefix(BASE)
        if path == request.path:
            raise Refused(404, "Not found")
        token = _token(request)
        if path == "/status":
            return shapes.status(token == self._token, _now(), int(1000 * (time.monotonic() - self._started)))
        if not token:
            raise Refused(401, "Authorization required")
        if token != self._token:
            raise Refused(403, "Access denied")
        return self._routed(request, path)

    def _routed(self, request: Request, path: str) -> object:
        wanted = {"PUT": "POST"}.get(request.method, request.method)
        for method, pattern, handler in self._routes:
            if method == wanted and (match := pattern.fullmatch(path)):
                if match.groups() and match[1] in self._foreign:
                    raise Refused(403, "Access denied")
                return handler(*match.groups(), *([_body(request.body)] if method == "POST" else []))
        raise Refused(404, "Not found")

    def _of(self, *key: str) -> Own:
        return self._own.setdefault(key, Own())

    def _stored(self, nwid: str) -> Json:
        """The network at the controller. Looked for before each write, which would create it."""
        stored: Json | None = self._controller.get(f"/controller/network/{nwid}")
        if stored is None:
            raise Refused(404, "Item not found")
        return stored

    def _list_networks(self) -> list[Json]:
        return [self._get_network(nwid) for nwid in self._controller.get("/controller/network") or []]

    def _create_network(self, body: Json) -> Json:
        own = Own(modified=_now())
        settings = shapes.take(own, body, shapes.NETWORK_SETTINGS)
        node = self._controller.get("/status")["address"]
        nwid = str(self._controller.post(f"/controller/network/{node}______", settings)["id"])
        self._own[(nwid,)] = own
        return self._get_network(nwid)

    def _get_network(self, nwid: str) -> Json:
        return shapes.network(self._stored(nwid), self._of(nwid), self._list_members(nwid), _now())

    def _set_network(self, nwid: str, body: Json) -> Json:
        with self._write_lock:
            self._stored(nwid)
            own = self._of(nwid)
            own.modified = _now()
            self._controller.post(
                f"/controller/network/{nwid}", shapes.take(own, body, shapes.NETWORK_SETTINGS)
            )
        return self._get_network(nwid)

    def _delete_network(self, nwid: str) -> None:
        self._stored(nwid)
        self._controller.delete(f"/controller/network/{nwid}")
        for key in [key for key in self._own if key[0] == nwid]:
            del self._own[key]

    def _list_members(self, nwid: str) -> list[Json]:
        nodes = self._controller.get(f"/controller/network/{nwid}/member")
        if nodes is None:
            raise Refused(404, "Item not found")
        peers = self._peers()
        return [self._shown(nwid, node, peers) for node in nodes]

    def _get_member(self, nwid: str, node: str) -> Json:
        return self._shown(nwid, node, self._peers())

    def _shown(self, nwid: str, node: str, peers: dict[str, Json]) -> Json:
        stored = self._controller.get(f"/controller/network/{nwid}/member/{node}")
        if stored is None:
            raise Refused(404, "Item not found")
        return shapes.member(stored, self._of(nwid, node), peers.get(node), _now())

    def _set_member(self, nwid: str, node: str, body: Json) -> Json:
        with self._write_lock:
            self._stored(nwid)
            settings = shapes.take(self._of(nwid, node), body, shapes.MEMBER_SETTINGS)
            self._controller.post(f"/controller/network/{nwid}/member/{node}", settings)
        return self._get_member(nwid, node)

    def _delete_member(self, nwid: str, node: str) -> None:
        self._stored(nwid)
        self._controller.delete(f"/controller/network/{nwid}/member/{node}")
        self._own.pop((nwid, node), None)

    def _peers(self) -> dict[str, Json]:
        return {peer["address"]: peer for peer in self._controller.get("/peer") or []}


class Passthrough:
    """A plain reverse proxy in front of the controller's own API, as people put one there for its TLS.

    Only /status and /controller are to be had, and the daemon itself checks X-ZT1-Auth.
    """

    OPEN = re.compile(r"/status|(/unstable)?/controller(/.*)?")
    HEADERS = ("X-ZT1-Auth", "Authorization", "Content-Type")

    def __init__(self, controller: Upstream) -> None:
        self._controller = controller

    def __call__(self, request: Request) -> Reply:
        """Pass one request on."""
        if not self.OPEN.fullmatch(request.path):
            return bytes_reply(404, b"", "")
        headers = {name: value for name in self.HEADERS if (value := request.headers.get(name))}
        path = request.path + (f"?{request.query}" if request.query else "")
        try:
            answer = self._controller.forward(request.method, path, request.body, headers)
        except UpstreamError as error:
            return bytes_reply(502, error.message.encode(), "text/plain")
        return bytes_reply(answer.status, answer.body, answer.content_type)


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("token", "bearer") else ""


def _body(content: bytes) -> Json:
    try:
        body = json.loads(content or b"{}")
    except ValueError:
        raise Refused(400, "JSON error") from None
    if not isinstance(body, dict) or not isinstance(body.get("config") or {}, dict):
        raise Refused(400, "JSON error")
    return body


def _now() -> int:
    """The time as ZeroTier counts it: Unix, in ms."""
    return int(time.time() * 1000)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab.central", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--certificate", type=Path, required=True, help="PEM; see lab.tls")
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="append a JSON line for each request")
    parser.add_argument(
        "--controller", required=True, metavar="URL", help="the daemon, http://127.0.0.1:9993"
    )
    parser.add_argument("--controller-token-file", type=Path, required=True, help="its authtoken.secret")
    parser.add_argument("--foreign", action="append", default=[], metavar="NWID", help="somebody else's: 403")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--token-file", type=Path, help="the API token that Central's users have to send")
    mode.add_argument("--passthrough", action="store_true", help="no Central: the controller's own API")
    return parser.parse_args(argv)


def _run(args: argparse.Namespace) -> None:
    upstream = Upstream(args.controller, args.controller_token_file)
    try:
        token = "" if args.passthrough else args.token_file.read_text().strip()
        context = tls.server_context(args.certificate, args.key)
    except (OSError, ssl.SSLError) as error:
        raise LabError(f"cannot read the token, the certificate or its key: {error}") from None
    answer = Passthrough(upstream) if args.passthrough else Central(upstream, token, frozenset(args.foreign))
    httpd.HttpServer(answer, args.port, log=args.log, tls=context).run("central")


def main(argv: list[str]) -> int:
    """Serve until a signal ends it."""
    args = _arguments(argv)
    return httpd.main(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
