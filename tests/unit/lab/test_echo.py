import hashlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import echo
from lab.httpd import HttpServer, plain_address


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    with HttpServer(echo.answer, log=tmp_path / "log") as running:
        yield running


def ask(
    server: HttpServer, method: str, path: str, body: object = None, host: str = "127.0.0.1"
) -> tuple[int, bytes]:
    client = http.client.HTTPConnection(host, server.port, timeout=10)
    client.request(method, path, None if body is None else json.dumps(body))
    reply = client.getresponse()
    content = reply.read()
    client.close()
    return reply.status, content


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 4), ("::1", 6)])
def test_says_from_where_it_was_asked(server: HttpServer, host: str, family: int) -> None:
    if family == 6 and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    status, body = ask(server, "GET", "/", host=host)
    seen = json.loads(body)
    assert status == 200
    assert (seen["address"], seen["family"]) == (host, family)
    assert 0 < seen["port"] < 65536


@pytest.mark.parametrize("size", [0, 1, len(echo.BLOCK), 3 * len(echo.BLOCK) + 12345])
def test_downloads_are_whole_and_repeatable(server: HttpServer, size: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    client.request("GET", f"/bytes/{size}")
    reply = client.getresponse()
    content = reply.read()
    client.close()
    assert len(content) == size
    assert reply.headers["Content-Length"] == str(size)
    assert reply.headers["X-SHA256"] == hashlib.sha256(content).hexdigest() == echo.sha256(size)


def test_each_place_of_a_download_has_its_own_content() -> None:
    pieces = {bytes(echo.BLOCK[at : at + 1024]) for at in range(0, len(echo.BLOCK), 1024)}
    assert len(pieces) == len(echo.BLOCK) // 1024


def test_connects_to_what_listens(server: HttpServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = {"host": "127.0.0.1", "port": listener.getsockname()[1]}
        listening = json.loads(ask(server, "POST", "/connect", target)[1])
    closed = json.loads(ask(server, "POST", "/connect", target)[1])
    assert (listening["connected"], listening["error"]) == (True, None)
    assert (closed["connected"], closed["error"]) == (False, "refused")


def test_gives_a_silent_host_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        host, port = full.getsockname()
        # A listener whose queue is full drops what comes, as a firewall would.
        with socket.create_connection((host, port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex((host, port))
            assert echo.connect(host, port, patience=0.2)["error"] == "timeout"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/elsewhere", None, 404),
        ("GET", f"/bytes/{echo.LARGEST + 1}", None, 400),
        ("GET", "/bytes/-1", None, 404),
        ("POST", "/connect", {"host": "127.0.0.1"}, 400),
        ("POST", "/connect", [], 400),
        ("POST", "/connect", None, 400),
    ],
)
def test_status(server: HttpServer, method: str, path: str, body: object, status: int) -> None:
    assert ask(server, method, path, body)[0] == status


def test_logs_each_request(server: HttpServer, tmp_path: Path) -> None:
    ask(server, "GET", "/health?auth=secret")
    (line,) = (tmp_path / "log").read_text().splitlines()
    entry = json.loads(line)
    assert entry.pop("time") > 0
    assert entry == {"method": "GET", "path": "/health", "status": 200}


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("::ffff:203.0.4.10", "203.0.4.10"),
        ("203.0.4.10", "203.0.4.10"),
        ("fe80::1%eth0", "fe80::1"),
        ("2600:db8:0:4::10", "2600:db8:0:4::10"),
    ],
)
def test_addresses_are_plain(raw: str, plain: str) -> None:
    assert plain_address(raw) == plain
