"""Faults as a client meets them on the wire."""

import http.client
import ssl
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from lab import faults, process, tls
from lab.faults import Faulty
from lab.httpd import HttpServer, json_reply

GOOD = {"routes": ["10.66.0.0/24"] * 20}


@pytest.fixture
def faulty() -> Faulty:
    return Faulty(lambda _: json_reply(200, GOOD))


@pytest.fixture
def server(faulty: Faulty) -> Iterator[HttpServer]:
    with HttpServer(faulty) as server:
        yield server
        faulty.mend()


def ask(server: HttpServer, timeout: float = 5.0) -> tuple[int, bytes, http.client.HTTPMessage]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    client.request("GET", "/")
    reply = client.getresponse()
    return reply.status, reply.read(), reply.headers


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.reset, ConnectionResetError),
        (faults.short, http.client.IncompleteRead),
        (faults.silence, TimeoutError),
    ],
)
def test_replies_that_never_come_to_their_end(
    faulty: Faulty, server: HttpServer, fault: faults.Fault, error: type[Exception]
) -> None:
    faulty.play(fault)
    with pytest.raises(error):
        ask(server, timeout=0.3)
    faulty.mend()
    assert ask(server)[0] == 200


def test_a_reply_that_drips(faulty: Faulty, server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "DRIP", 0.001)
    faulty.play(faults.drip)
    start = time.monotonic()
    status, content, _ = ask(server)
    assert (status, content) == (200, json_reply(200, GOOD).chunks[0])  # type: ignore[index]
    assert time.monotonic() - start > 0.001 * len(content)


def test_replies_that_say_something_else(faulty: Faulty, server: HttpServer) -> None:
    faulty.play(faults.status(429, "slowly", Retry_After="7"))
    status, content, headers = ask(server)
    assert (status, headers["Retry-After"]) == (429, "7") and b"slowly" in content
    faulty.play(faults.portal)
    assert ask(server)[:2] == (200, faults.PORTAL)
    faulty.play(faults.cut)
    whole = json_reply(200, GOOD).length
    assert len(ask(server)[1]) == whole // 2


def test_a_fault_begins_with_some_request(faulty: Faulty, server: HttpServer) -> None:
    faulty.play(faults.status(503), after=2)
    assert [ask(server)[0] for _ in range(4)] == [200, 200, 503, 503]


def test_an_expired_certificate_by_an_authority_of_before(tmp_path: Path) -> None:
    good = tls.make(tmp_path / "good", ["c.lab"])
    old = tls.make(tmp_path / "old", ["c.lab"], authority=good, days=(-3, -2))
    assert old.ca == good.ca
    shown = process.run(["openssl", "verify", "-no_check_time", "-CAfile", good.ca, old.certificate])
    assert shown.endswith("OK\n")
    text = process.run(["openssl", "x509", "-noout", "-enddate", "-in", old.certificate])
    end = ssl.cert_time_to_seconds(text.strip().removeprefix("notAfter="))
    assert 1.9 < (datetime.now().timestamp() - end) / 86400 < 2.1
