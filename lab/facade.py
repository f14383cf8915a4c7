"""What the facades of both Centrals share: they keep no networks, but read and write a daemon's local API.

So members get what was written. Only what a controller has no place for is in a facade.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lab.central_upstream import Upstream, UpstreamError
from lab.httpd import Reply, Request, bytes_reply, json_reply

Json = dict[str, Any]
Route = tuple[str, str, Callable[..., object]]
NETWORK, NODE = "/network/([0-9a-f]{16})", "/([0-9a-f]{10})"


class Refused(Exception):
    """A request that gets an error; ``more`` goes into its body."""

    def __init__(self, status: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.status, self.more = status, more


class Facade:
    """One Central. ``foreign`` are networks that exist and belong to somebody else."""

    BASE = ""

    def __init__(self, controller: Upstream, token: str, foreign: frozenset[str] = frozenset()) -> None:
        self._controller, self._token, self._foreign = controller, token, foreign
        self._started = time.monotonic()
        self._write_lock = threading.Lock()  # the last write wins, but each is whole
        self._routes = [(method, re.compile(path), handler) for method, path, handler in self.routes()]

    def routes(self) -> Sequence[Route]:
        """Method, path and handler, which gets the path's groups and, for all but GET, the body."""
        raise NotImplementedError

    def admit(self, request: Request) -> None:
        """Refuse a request without a good token."""
        raise NotImplementedError

    def answer(self, request: Request, path: str) -> object:
        """What there is at a path below the base."""
        self.admit(request)
        return self._routed(request, path)

    def refusal(self, status: int, message: str, more: Json) -> object:
        """The body of an error."""
        raise NotImplementedError

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            path = request.path.removeprefix(self.BASE)
            if path == request.path:
                raise Refused(404, "Not found")
            value = self.answer(request, path)
        except Refused as refused:
            return json_reply(refused.status, self.refusal(refused.status, str(refused), refused.more))
        except UpstreamError as error:
            return json_reply(502, self.refusal(502, error.message, {}))
        return bytes_reply(200, b"", "") if value is None else json_reply(200, value)

    def _routed(self, request: Request, path: str) -> object:
        wanted = {"PUT": "POST"}.get(request.method, request.method)
        for method, pattern, handler in self._routes:
            if method == wanted and (match := pattern.fullmatch(path)):
                if match.groups() and match[1] in self._foreign:
                    raise Refused(403, "Access denied")
                body = [] if method == "GET" else [self.body(request.body)]
                return handler(*match.groups(), *body)
        raise Refused(404, "Not found")

    def body(self, content: bytes) -> Any:
        """What a client sent."""
        try:
            return json.loads(content or b"{}")
        except ValueError:
            raise Refused(400, "JSON error") from None

    def stored(self, nwid: str) -> Json:
        """The network at the controller. Looked for before each write, which would create it."""
        return self._present(f"/controller/network/{nwid}")

    def stored_member(self, nwid: str, node: str) -> Json:
        """A member at the controller."""
        return self._present(f"/controller/network/{nwid}/member/{node}")

    def _present(self, path: str) -> Json:
        found: Json | None = self._controller.get(path)
        if found is None:
            raise Refused(404, "Item not found")
        return found

    def nodes(self, nwid: str) -> list[str]:
        """The node ids of a network's members."""
        return list(self._present(f"/controller/network/{nwid}/member"))

    def peers(self) -> dict[str, Json]:
        """What the controller's node knows of other nodes."""
        return {peer["address"]: peer for peer in self._controller.get("/peer") or []}


def credentials(request: Request, *schemes: str) -> str:
    """The token that came by one of these schemes, "" if none did."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in schemes else ""


def now() -> int:
    """The time as ZeroTier counts it: Unix, in ms."""
    return int(time.time() * 1000)
