"""The page's own server over a folder, on a port of this machine, for a while."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ztgate.page import app, server


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Its port; it ends when it has been told that nobody has asked for long."""
    listening = socket.create_server(("127.0.0.1", 0))
    made = app.App(folder)
    late = [False]

    def clock() -> float:
        return made.clock() + (server.IDLE + server.LIMIT + 1 if late[0] else 0)

    thread = threading.Thread(target=server.serve, args=(made, [listening], clock), daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        late[0] = True
        thread.join(10)
        listening.close()
    assert not thread.is_alive(), "it does not end although nobody asks"
