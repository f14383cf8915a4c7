"""ZeroTier Central in front of a real controller, or that controller's own API, over TLS; this is v1.

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
import re
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import central_shapes as shapes
from lab import httpd, tls
from lab.central_shapes import ALL_RIGHTS, Own
from lab.central_upstream import Upstream, UpstreamError
from lab.central_v2 import CentralV2
from lab.errors import LabError
from lab.facade import NETWORK, NODE, Facade, Json, Refused, Route, credentials, now
from lab.httpd import Reply, Request, bytes_reply

MEMBER = f"{NETWORK}/member"


class Central(Facade):
    """The facade. ``rights`` are those in every network of the token's user, who does not own them."""

    BASE = "/api/v1"

    def __init__(
        self,
        controller: Upstream,
        token: str,
        foreign: frozenset[str] = frozenset(),
        rights: Mapping[str, bool] = ALL_RIGHTS,
    ) -> None:
        super().__init__(controller, token, foreign)
        self._rights = dict(rights)
        self._own: dict[tuple[str, ...], Own] = {}

    def routes(self) -> Sequence[Route]:
        """What there is, /status apart."""
        return [
            ("GET", "/network", self._list_networks),
            ("POST", "/network", self._create_network),
            ("GET", NETWORK, self._get_network),
            ("POST", NETWORK, self._set_network),
            ("DELETE", NETWORK, self._delete_network),
            ("GET", MEMBER, self._list_members),
            ("GET", MEMBER + NODE, self._get_member),
            ("POST", MEMBER + NODE, self._set_member),
            ("DELETE", MEMBER + NODE, self._delete_member),
        ]

    def answer(self, request: Request, path: str) -> object:
        """The one answer that everybody gets, or another."""
        if path != "/status":
            return super().answer(request, path)
        uptime = int(1000 * (time.monotonic() - self._started))
        return shapes.status(credentials(request, "token", "bearer") == self._token, now(), uptime)

    def admit(self, request: Request) -> None:
        """401 without a token, 403 with a wrong one."""
        token = credentials(request, "token", "bearer")
        if not token:
            raise Refused(401, "Authorization required")
        if token != self._token:
            raise Refused(403, "Access denied")

    def refusal(self, status: int, message: str, more: Json) -> object:
        """As users saw it."""
        return {"type": "internal", "message": message, **more}

    def body(self, content: bytes) -> Json:
        """An object, and so is its `config`."""
        body = super().body(content)
        if not isinstance(body, dict) or not isinstance(body.get("config") or {}, dict):
            raise Refused(400, "JSON error")
        return body

    def _need(self, letter: str) -> None:
        if not self._rights.get(letter):
            raise Refused(401, "Unauthorized")  # so zerotier/github-action issue 10, for a DELETE

    def _of(self, *key: str) -> Own:
        return self._own.setdefault(key, Own())

    def _list_networks(self) -> list[Json]:
        return [self._get_network(nwid) for nwid in self._controller.get("/controller/network") or []]

    def _create_network(self, body: Json) -> Json:
        own = Own(modified=now())
        settings = shapes.take(own, body, shapes.NETWORK_SETTINGS)
        node = self._controller.get("/status")["address"]
        nwid = str(self._controller.post(f"/controller/network/{node}______", settings)["id"])
        self._own[(nwid,)] = own
        return self._get_network(nwid)

    def _get_network(self, nwid: str) -> Json:
        members = self._list_members(nwid)
        return shapes.network(self.stored(nwid), self._of(nwid), members, now(), self._rights)

    def _set_network(self, nwid: str, body: Json) -> Json:
        self._need("m")
        with self._write_lock:
            self.stored(nwid)
            own = self._of(nwid)
            own.modified = now()
            self._controller.post(
                f"/controller/network/{nwid}", shapes.take(own, body, shapes.NETWORK_SETTINGS)
            )
        return self._get_network(nwid)

    def _delete_network(self, nwid: str, _: Json) -> None:
        self._need("d")
        self.stored(nwid)
        self._controller.delete(f"/controller/network/{nwid}")
        for key in [key for key in self._own if key[0] == nwid]:
            del self._own[key]

    def _list_members(self, nwid: str) -> list[Json]:
        peers = self.peers()
        return [self._shown(nwid, node, peers) for node in self.nodes(nwid)]

    def _get_member(self, nwid: str, node: str) -> Json:
        return self._shown(nwid, node, self.peers())

    def _shown(self, nwid: str, node: str, peers: dict[str, Json]) -> Json:
        stored = self.stored_member(nwid, node)
        return shapes.member(stored, self._of(nwid, node), peers.get(node), now())

    def _set_member(self, nwid: str, node: str, body: Json) -> Json:
        self._need("a")
        with self._write_lock:
            self.stored(nwid)
            settings = shapes.take(self._of(nwid, node), body, shapes.MEMBER_SETTINGS)
            self._controller.post(f"/controller/network/{nwid}/member/{node}", settings)
        return self._get_member(nwid, node)

    def _delete_member(self, nwid: str, node: str, _: Json) -> None:
        self._need("d")
        self.stored(nwid)
        self._controller.delete(f"/controller/network/{nwid}/member/{node}")
        self._own.pop((nwid, node), None)


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
    parser.add_argument("--api", choices=("v1", "v2"), default="v1", help="which Central it is")
    mode.add_argument("--passthrough", action="store_true", help="no Central: the controller's own API")
    return parser.parse_args(argv)


def _run(args: argparse.Namespace) -> None:
    upstream = Upstream(args.controller, args.controller_token_file)
    try:
        token = "" if args.passthrough else args.token_file.read_text().strip()
        context = tls.server_context(args.certificate, args.key)
    except (OSError, ssl.SSLError) as error:
        raise LabError(f"cannot read the token, the certificate or its key: {error}") from None
    central = {"v1": Central, "v2": CentralV2}[args.api]
    answer = Passthrough(upstream) if args.passthrough else central(upstream, token, frozenset(args.foreign))
    httpd.HttpServer(answer, args.port, log=args.log, tls=context).run("central")


def main(argv: list[str]) -> int:
    """Serve until a signal ends it."""
    args = _arguments(argv)
    return httpd.main(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
