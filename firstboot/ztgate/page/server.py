"""Serves the page on the sockets that systemd hands over, and ends when nobody has looked for a while.

No connection lives longer than LIMIT: who sends or reads byte by byte keeps nobody else out for long.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waitress import wasyncore
from waitress.server import create_server

from .app import App

FIRST = 3  # the first descriptor that systemd passes (sd_listen_fds(3))
IDLE = 300.0  # seconds without a request after which it ends; the socket starts it again
LIMIT = 20.0  # seconds that a connection may last; a browser opens another one
LIMITS: dict[str, Any] = {
    "threads": 2,
    "connection_limit": 64,
    "backlog": 64,
    "channel_timeout": 10,  # seconds of silence
    "max_request_header_size": 4096,
    "max_request_body_size": 1024,
    "ident": None,
    "asyncore_use_poll": True,
}


def passed() -> list[socket.socket]:
    """The listening sockets that this process was started with."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    return [socket.socket(fileno=FIRST + n) for n in range(int(os.environ.get("LISTEN_FDS", "0")))]


def serve(app: App, sockets: list[socket.socket], clock: Callable[[], float] = time.time) -> None:
    """Answer until nobody has asked for IDLE seconds."""
    parts: dict[int, Any] = {}
    create_server(app, map=parts, sockets=sockets, **LIMITS)
    app.asked = clock()
    while True:
        wasyncore.loop(timeout=1.0, use_poll=True, map=parts, count=1)
        connections = [part for part in parts.values() if hasattr(part, "creation_time")]
        for connection in connections:
            if connection.creation_time < clock() - LIMIT:
                connection.will_close = True
        if not connections and app.asked < clock() - IDLE:
            return


def main() -> int:
    """Serve the folder that the command line names."""
    sockets = passed()
    if len(sys.argv) != 2 or not sockets:
        print("this is started by ztgate-page.socket, with a folder", file=sys.stderr)
        return 2
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # two at a time are nothing to tell
    serve(App(Path(sys.argv[1])), sockets)
    return 0
