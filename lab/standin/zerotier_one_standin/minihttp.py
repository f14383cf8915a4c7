"""HTTP/1.1 as far as the local API needs it; the standard library's is slow to import in an emulator."""

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from .client import PATIENCE, read_head

log = logging.getLogger(__name__)

_BODY_LIMIT = 16 << 20
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class Request(NamedTuple):
    """What a client asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    remote: ipaddress.IPv4Address | ipaddress.IPv6Address


class Response(NamedTuple):
    """What it is told."""

    status: int
    body: str = ""
    content_type: str = "application/json"


Handler = Callable[[Request], Response]


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _read_request(connection: socket.socket, remote: str) -> Request:
    head, body = read_head(connection)
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = _headers(lines)
    length = int(headers.get("content-length", "0"))
    if length > _BODY_LIMIT:
        raise ConnectionError("body too long")
    while len(body) < length:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("the body ended early")
        body += chunk
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    source = ipaddress.ip_address(remote.split("%")[0])
    return Request(method, parts.path, query, headers, body, source)


def _serve_one(connection: socket.socket, remote: str, handler: Handler) -> None:
    with connection:
        connection.settimeout(PATIENCE)
        try:
            reply = handler(_read_request(connection, remote))
            body = reply.body.encode()
            head = (
                f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Error')}\r\n"
                f"Content-Type: {reply.content_type}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
        except (OSError, ValueError) as error:
            log.debug("http client %s: %s", remote, error)


def _accept_all(listener: socket.socket, handler: Handler) -> None:
    while True:
        try:
            connection, where = listener.accept()
        except OSError:
            return  # closed: the daemon stops
        threading.Thread(target=_serve_one, args=(connection, where[0], handler), daemon=True).start()


def serve(port: int, handler: Handler) -> list[socket.socket]:
    """Listen on every address of both families, as the real daemon does; each request gets a thread."""
    listeners = []
    for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((anywhere, port))
            listener.listen(64)
        except OSError as error:
            if family == socket.AF_INET:
                raise
            log.warning("no local API on IPv6: %s", error)
            continue
        threading.Thread(target=_accept_all, args=(listener, handler), daemon=True).start()
        listeners.append(listener)
    return listeners
