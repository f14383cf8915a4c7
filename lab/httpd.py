"""What the lab's small HTTP servers share: both address families, TLS, JSON replies and a request log.

A server is a function from `Request` to `Reply`. Tests run it in a thread (``with HttpServer(...)``);
``python -m lab.X`` runs the same one as a process inside a network namespace.
"""

import json
import signal
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from lab.errors import LabError


@dataclass(frozen=True)
class Request:
    """What a client asked for; header names are looked up whatever their case."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes
    client: tuple[str, int]


@dataclass(frozen=True)
class Reply:
    """What it gets: ``length`` bytes that come in ``chunks``."""

    status: int
    chunks: Iterable[bytes | memoryview] = ()
    length: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class HangUp(Exception):
    """Raised by a reply's chunks: the connection ends in the middle of it, as a reset if so wanted."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


def bytes_reply(status: int, body: bytes, content_type: str) -> Reply:
    """A reply with a body that is at hand."""
    return Reply(status, [body], len(body), {"Content-Type": content_type} if body else {})


def json_reply(status: int, value: object) -> Reply:
    """A reply whose body is ``value`` as JSON."""
    return bytes_reply(status, json.dumps(value).encode(), "application/json")


class JsonLog:
    """One JSON object a line, each with the time (Unix, in seconds), whole as soon as it is written."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", buffering=1, encoding="utf-8") if path else None

    def write(self, **entry: object) -> None:
        """Append ``entry``."""
        if self._file:
            with self._lock:
                self._file.write(json.dumps({"time": round(time.time(), 3), **entry}) + "\n")

    def close(self) -> None:
        """Write nothing more."""
        if self._file:
            self._file.close()


def plain_address(address: str) -> str:
    """The address of a client as people write it: no ``::ffff:`` before an IPv4 one, no zone.

    >>> plain_address("::ffff:203.0.4.10")
    '203.0.4.10'
    """
    parsed = ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """``answer`` behind a TCP port, in clear or over TLS, a thread for each connection.

    It is no `http.server.HTTPServer`, because that one looks its own address up in the DNS first.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        answer: Callable[[Request], Reply],
        port: int = 0,
        *,
        log: Path | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        dual = socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if dual else socket.AF_INET
        self.answer, self.tls, self.log = answer, tls, JsonLog(log)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        try:
            super().__init__(("::" if dual else "0.0.0.0", port), _Handler)
        except OSError as error:
            raise LabError(f"cannot listen on TCP port {port}: {error.strerror}") from None
        self.port: int = self.server_address[1]

    def server_bind(self) -> None:
        """Bind for both address families, whatever the system's default is."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a client; its TLS handshake is left to its own thread, as it may take its time."""
        client, address = super().get_request()
        if self.tls:
            client = self.tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line that a client broke off, and everything about what is our own fault."""
        error = sys.exception()
        if isinstance(error, OSError):  # a refused certificate (ssl.SSLError) is one too
            print(f"{client_address[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            traceback.print_exc()

    def __enter__(self) -> "HttpServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.log.close()

    def run(self, name: str) -> None:
        """Serve as a process: say that it is ready, and go on until a signal ends it."""
        with self:
            print(f"ready {name} port={self.port}", flush=True)
            signal.pause()


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a silent client is waited for
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        client = (plain_address(self.client_address[0]), self.client_address[1])
        try:
            reply = self.server.answer(Request(self.command, path, query, self.headers, body, client))
        except Exception:
            traceback.print_exc()
            reply = json_reply(500, {"error": "the server's own fault: see what it wrote to standard error"})
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(reply.length))
        self.end_headers()
        try:
            for chunk in reply.chunks:
                self.wfile.write(chunk)
        except HangUp as end:
            self._hang_up(end.reset)

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # Lingering for 0 s makes close() send RST, where shutdown() would have sent FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log every answer just before it is sent; a query may hold a token and is left out."""
        path = getattr(self, "path", "").partition("?")[0]
        self.server.log.write(method=self.command, path=path, status=int(code))

    def log_message(self, format: str, *args: object) -> None:
        """Write no access log of the usual form."""


def main(run: Callable[[], None]) -> int:
    """Run a server's command line; what goes wrong is said once. The value is the exit status."""
    try:
        run()
    except LabError as error:
        print("\n".join(filter(None, (error.message, error.hint))), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
