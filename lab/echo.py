"""The internet: a host that says from where it was reached, serves downloads, and tries to get in.

``GET /``            {"address": the source address it saw, "port": n, "family": 4 or 6}
``GET /health``      {"ok": true}
``GET /bytes/N``     N bytes, the same at every call; header X-SHA256 has the hash of the whole
``POST /connect``    {"host": ..., "port": ...}: {"connected": bool, "error": null, "refused", "timeout" or
                     the system's words, "seconds": ...}; a TCP connection from here, given up after 3 s
"""

import argparse
import hashlib
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from lab import httpd
from lab.httpd import Reply, Request, json_reply

# Incompressible, and without a shorter period: blocks that are lost, doubled or swapped inside show.
BLOCK = hashlib.shake_256(b"ztgate lab").digest(1 << 20)
LARGEST = 1 << 30  # bytes of one download
PATIENCE = 3.0  # seconds for a connection from the internet


@lru_cache(maxsize=16)
def sha256(size: int) -> str:
    """The hash of the ``size`` bytes that ``/bytes/<size>`` sends."""
    digest = hashlib.sha256()
    for chunk in chunks(size):
        digest.update(chunk)
    return digest.hexdigest()


def chunks(size: int) -> Iterator[memoryview]:
    """These bytes, a block at a time."""
    block = memoryview(BLOCK)
    for start in range(0, size, len(block)):
        yield block[: size - start]


def connect(host: str, port: int, patience: float = PATIENCE) -> dict[str, object]:
    """Try a TCP connection, as a stranger on the internet would."""
    start, error = time.monotonic(), None
    try:
        socket.create_connection((host, port), timeout=patience).close()
    except TimeoutError:
        error = "timeout"
    except ConnectionRefusedError:
        error = "refused"
    except OSError as failure:
        error = failure.strerror or str(failure)
    return {"connected": error is None, "error": error, "seconds": round(time.monotonic() - start, 3)}


def answer(request: Request) -> Reply:
    """Answer one request."""
    match request.method, request.path:
        case "GET", "/":
            address, port = request.client
            return json_reply(200, {"address": address, "port": port, "family": 6 if ":" in address else 4})
        case "GET", "/health":
            return json_reply(200, {"ok": True})
        case "POST", "/connect":
            return _connect(request.body)
        case "GET", path if match := re.fullmatch(r"/bytes/(\d{1,12})", path):
            return _bytes(int(match[1]))
    return json_reply(404, {"error": f"no {request.method} {request.path} here"})


def _connect(body: bytes) -> Reply:
    try:
        target = json.loads(body)
        host, port = str(target["host"]), int(target["port"])
    except (ValueError, TypeError, KeyError):
        return json_reply(400, {"error": 'the body has to be {"host": ..., "port": ...}'})
    return json_reply(200, connect(host, port))


def _bytes(size: int) -> Reply:
    if size > LARGEST:
        return json_reply(400, {"error": f"at most {LARGEST} bytes"})
    kind = {"Content-Type": "application/octet-stream", "X-SHA256": sha256(size)}
    return Reply(200, chunks(size), size, kind)


def main(argv: list[str]) -> int:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="lab.echo", description="A host on the internet.")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--log", type=Path, help="append a JSON line for each request")
    args = parser.parse_args(argv)
    return httpd.main(lambda: httpd.HttpServer(answer, args.port, log=args.log).run("echo"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
