"""Downloads from a local server that fails in all the ways in which mirrors do."""

import http.server
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder import download
from builder.download import PATIENCE
from builder.errors import BuildError, Unreachable
from builder.lock import Pin
from builder.pool import Pool

from .conftest import make_deb, pin

pytestmark = pytest.mark.usefixtures("pauses")

CONTENT = b"content" * 20000
Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes one answer after the other from the server's list, and then gives the content."""

    protocol_version = "HTTP/1.1"
    server: "Mirror"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.peers.add(self.client_address)
        if self.server.has and self.path not in self.server.has:
            self.server.answers.insert(0, say(404))
        (self.server.answers.pop(0) if self.server.answers else give)(self)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Mirror(http.server.ThreadingHTTPServer):
    """What it was asked, by how many connections, and what it has and says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.peers: set[object] = set()
        self.answers: list[Answer] = []
        self.content = CONTENT
        self.has: set[str] = set()  # empty: everything
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def give(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(handler.server.content)))
    handler.end_headers()
    handler.wfile.write(handler.server.content)


def say(status: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def break_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT[:70000])
    handler.close_connection = True


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


# What the mirror says first, and the pauses that follow from it, in seconds.
HICCUPS: dict[str, tuple[list[Answer], list[float]]] = {
    "hangs up": ([hang_up, hang_up], [1]),
    "overloaded": ([say(503), say(502), say(500), say(504)], [1, 2, 4]),
    "too many": ([say(429, Retry_After="7")], [7]),
    "far too many": ([say(503, Retry_After="86400")], [60]),
    "breaks off": ([break_off, break_off], [1]),
    "everything": ([break_off, say(503), hang_up], [1]),
}


@pytest.mark.parametrize("name", HICCUPS)
def test_a_hiccup_is_bridged(mirror: Mirror, pauses: list[float], name: str) -> None:
    answers, waited = HICCUPS[name]
    mirror.answers = list(answers)
    assert download.download(f"{mirror.url}/x") == CONTENT
    assert len(mirror.asked) == len(answers) + 1
    assert [pause for pause in pauses if pause] == waited


# What it says all the time, the words, whether that is an answer, and how often it is asked.
TROUBLES: list[tuple[Answer, str, bool, int]] = [
    (say(404), "HTTP 404 Not Found", True, 1),
    (say(403), "HTTP 403 Forbidden", True, 1),
    (say(503), "HTTP 503 Service Unavailable", False, 6),
    (hang_up, "closed", False, 6),
    (break_off, "70000", False, 6),
]


@pytest.mark.parametrize(("answer", "words", "answered", "times"), TROUBLES)
def test_in_the_end_it_is_one_sentence(
    mirror: Mirror, answer: Answer, words: str, answered: bool, times: int
) -> None:
    mirror.answers = [answer] * 20
    with pytest.raises(Unreachable) as e:
        download.download(f"{mirror.url}/x")
    assert e.value.message.startswith(f"{mirror.url}/x: ")
    assert words in e.value.message
    assert "\n" not in e.value.message
    assert "object at 0x" not in e.value.message
    assert (e.value.answered, len(mirror.asked)) == (answered, times)


def test_nobody_there(pauses: list[float]) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as gone:
        port = gone.server_address[1]
    with pytest.raises(Unreachable, match=f"http://127.0.0.1:{port}/x: connection refused") as e:
        download.download(f"http://127.0.0.1:{port}/x")
    assert not e.value.answered
    assert sum(pauses) == 7


def test_too_much(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LIMIT", 1000)
    with pytest.raises(Unreachable, match="more than 0 MiB"):
        download.download(f"{mirror.url}/x")


def test_connections_are_kept(mirror: Mirror) -> None:
    for _ in range(5):
        download.download(f"{mirror.url}/x")
    assert len(mirror.peers) == 1


def test_retry_after_is_bounded() -> None:
    assert PATIENCE.retry_after_max == 60


def packages(count: int, content: bytes) -> list[Pin]:
    one = pin(content)
    return [one, *(Pin(f"p{n}", "all", "1", f"{n:064x}", f"pool/p{n}.deb") for n in range(count - 1))]


def test_a_mirror_that_fails_first_gives_all_in_the_end(mirror: Mirror, tmp_path: Path) -> None:
    mirror.content = make_deb(tmp_path)
    one = pin(mirror.content)
    mirror.answers = [hang_up, say(503), break_off]
    pool = Pool(tmp_path / "pool", urls={one.sha256: f"{mirror.url}/one"}, places=lambda: [])
    pool.provide([one])
    assert pool.missing([one]) == []
    assert [p.name for p in pool.root.iterdir()] == [f"{one.sha256}.deb"]


def test_the_first_place_says_why(mirror: Mirror, tmp_path: Path) -> None:
    """The address that apt has named is overloaded; the place that is tried then has nothing."""
    gone = Pin("gone", "amd64", "1", "ab" * 32, "pool/gone.deb")
    mirror.answers = [say(503)] * 6 + [say(404)]
    pool = Pool(tmp_path / "pool", urls={gone.sha256: f"{mirror.url}/first"}, places=lambda: [mirror.url])
    with pytest.raises(BuildError) as e:
        pool.provide([gone])
    assert mirror.asked == ["/first"] * 6 + ["/pool/gone.deb"]
    assert e.value.message.endswith(f"gone 1 (amd64) ({mirror.url}/first: HTTP 503 Service Unavailable)")


def test_a_package_that_is_not_there_silences_nobody(mirror: Mirror, tmp_path: Path) -> None:
    mirror.content = make_deb(tmp_path)
    pins = packages(30, mirror.content)
    mirror.has = {f"/{pins[0].path}"}
    pool = Pool(tmp_path / "pool", places=lambda: [mirror.url])
    with pytest.raises(BuildError, match=r"29 packages are not .*HTTP 404"):
        pool.provide([*pins[1:], pins[0]])
    assert pool.missing(pins) == pins[1:]
