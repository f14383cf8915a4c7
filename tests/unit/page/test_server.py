"""The server: real sockets, slow and greedy clients, and its end when nobody looks."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ztgate.page import server

from . import scenes
from .serving import served

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scenes.write(tmp_path, "working")
    return tmp_path


def talk(port: int, data: bytes) -> bytes:
    """All that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while more := client.recv(65536):
            received += more
        return received


REQUESTS = {
    "GET": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"200"),
    "HEAD": (b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"200"),
    "no host": (b"GET / HTTP/1.0\r\n\r\n", b"421"),
    "another host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
    "POST": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
    "a large body": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999\r\n\r\n", b"413"),
    "a large header": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 5000 + b"\r\n\r\n", b"431"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(folder: Path, name: str) -> None:
    request, status = REQUESTS[name]
    with served(folder) as port:
        answer = talk(port, request)
    assert answer.split(b" ")[1] == status
    assert b"Server:" not in answer and b"Traceback" not in answer


def test_who_drips_is_shut_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIMIT", 0.5)
    with served(folder) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 10:
                client.sendall(b"G")
                time.sleep(0.05)  # the drip itself
    assert time.monotonic() - began < 5


def test_silent_connections_keep_nobody_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIMIT", 0.5)
    with served(folder) as port:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        assert talk(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200"
        )
        for each in idle:
            each.close()


def test_it_says_how_it_is_started() -> None:
    words = [
        sys.executable,
        "-c",
        "import sys; from ztgate.page.server import main; sys.exit(main())",
        "/nowhere",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "firstboot"), "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "ztgate-page.socket" in done.stderr
