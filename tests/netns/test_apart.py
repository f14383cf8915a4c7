"""The child that asks the controller: who it is, what it holds, and that nothing it says is believed."""

import io
import json
import os
import time
from collections.abc import Iterator
from io import BufferedRWPair
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ztgate import apart, exchange
from ztgate.apart import Apart
from ztgate.calls import UnavailableError
from ztgate.errors import ZtgateError
from ztgate.exchange import Direct, Exchange, Question, Reply
from ztgate.wait import TooSlow, deadline

from lab import httpd, tls
from lab.httpd import HttpServer, Request
from lab.retry import NotYet, retry

NOBODY = 65534
LIMIT = 4 << 20  # bytes of a reply, in place of 32 MiB
BIG = b"x" * 3_000_000  # more than a pipe or a socket holds


def answering(request: Request) -> httpd.Reply:
    """Each path has an answer of its own."""
    match request.path.strip("/"):
        case "slow":
            time.sleep(30)
        case "big":
            return httpd.bytes_reply(200, BIG, "text/plain")
        case "endless":
            return httpd.Reply(200, (b"x" * 65536 for _ in range(LIMIT // 65536 + 1)), 2 * LIMIT)
        case "moved":
            return httpd.Reply(301, headers={"Location": "/elsewhere", "Retry-After": "7"})
    said = {"body": request.body.decode(), "token": request.headers.get("Authorization")}
    return httpd.bytes_reply(200, json.dumps(said).encode(), "application/json")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tls.Certificate:
    """Of a server whose authority no system knows."""
    return tls.make(tmp_path_factory.mktemp("tls"), ["127.0.0.1"])


@pytest.fixture(scope="module")
def url(certificate: tls.Certificate) -> Iterator[str]:
    """A controller over TLS."""
    with HttpServer(answering, tls=certificate.server_context()) as server:
        yield f"https://127.0.0.1:{server.port}"


@pytest.fixture
def child() -> Iterator[Apart]:
    """One that asks."""
    made = Apart(NOBODY, NOBODY)
    yield made
    made.drop()


def question(url: str, authority: str | None, path: str = "/", body: str | None = None) -> Question:
    """As Api puts it."""
    return Question("POST", url + path, "c.lab", {"Authorization": "token x"}, body, authority)


def pid(child: Apart) -> int:
    """Of the process."""
    assert child._child is not None
    return child._child.pid


def said(by: Exchange, asked: Question) -> tuple[object, ...]:
    """A reply, or an error with all that is known of it."""
    try:
        return (by.ask(asked),)
    except ZtgateError as error:
        return type(error), error.message, error.hint, getattr(error, "reached", None)


def ended(pid: int) -> None:
    """Wait for the end of a process; nobody may have asked for its exit status yet."""
    status = Path(f"/proc/{pid}/status")

    def check() -> None:
        if status.exists() and "Z (zombie)" not in status.read_text():
            raise NotYet("it is still there")

    retry(check, 10, "the end of the process")


def test_it_says_what_would_have_been_said_here(
    child: Apart, url: str, certificate: tls.Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LARGEST", LIMIT)
    authority = certificate.ca.read_text()
    asked = [
        question(url, authority, body='{"name": "ü\\n"}'),
        question(url, authority, "/big"),
        question(url, authority, "/moved"),
        question(url, authority, "/endless"),
        question(url, None),
        question("http://127.0.0.1:1", None),
        question("http://name.invalid", None),
        question("nonsense://x", None),
    ]
    here = [said(Direct(), each) for each in asked]
    assert [said(child, each) for each in asked] == here
    assert here[1] == (Reply(200, BIG),) and here[2] == (Reply(301, b"", "7", "/elsewhere"),)
    assert "more than 4 MiB" in str(here[3]) and "signed by nobody" in str(here[4])


def test_it_is_nobody_and_holds_nothing(
    child: Apart, url: str, certificate: tls.Certificate, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    with secret.open() as held:
        child.ask(question(url, certificate.ca.read_text()))
        process = Path(f"/proc/{pid(child)}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        files = [str(file.readlink()) for file in (process / "fd").iterdir()]
        assert Path(f"/proc/self/fd/{held.fileno()}").readlink() == secret
    assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"].strip() == ""
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}
    assert str(secret) not in files
    assert sum(file.startswith("socket:") for file in files) == 2  # to us, and to the controller


def test_when_it_dies_the_next_question_has_another_one(
    child: Apart, url: str, certificate: tls.Certificate
) -> None:
    asked = question(url, certificate.ca.read_text())
    child.ask(asked)
    os.kill(before := pid(child), 9)
    with pytest.raises(UnavailableError, match="has ended"):
        child.ask(asked)
    assert child.ask(asked).status == 200 and pid(child) != before


def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next_one(
    child: Apart, url: str, certificate: tls.Certificate
) -> None:
    authority = certificate.ca.read_text()
    with pytest.raises(TooSlow), deadline(0.5):
        child.ask(question(url, authority, "/slow"))
    child.drop()
    assert json.loads(child.ask(question(url, authority, body="next")).content)["body"] == "next"


def test_it_ends_with_its_parent(url: str, certificate: tls.Certificate) -> None:
    ours, theirs = os.pipe()
    if os.fork() == 0:
        made = Apart(NOBODY, NOBODY)
        made.ask(question(url, certificate.ca.read_text()))
        os.write(theirs, str(pid(made)).encode())
        os._exit(0)
    os.wait()
    ended(int(os.read(ours, 20)))


def test_it_ends_when_it_is_left(child: Apart, url: str, certificate: tls.Certificate) -> None:
    child.ask(question(url, certificate.ca.read_text()))
    before = pid(child)
    child.drop()
    ended(before)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(
            ["status", "bytes", "retry_after", "location", "error", "hint", "passing", "reached"]
        ),
        st.none() | st.integers() | st.text("a7é\n\x1b", max_size=9) | st.lists(st.integers(), max_size=2),
    ).map(lambda head: json.dumps(head).encode() + b"\nbody")
)
def test_whatever_it_says_is_a_reply_or_an_error(monkeypatch: pytest.MonkeyPatch, words: bytes) -> None:
    """It may have been taken over: that is what it is there for."""
    wire = BufferedRWPair(cast(Any, io.BytesIO(words)), cast(Any, io.BytesIO()))
    monkeypatch.setattr(apart, "_start", lambda *_: apart._Child(os.getpid(), wire))
    made = Apart(NOBODY, NOBODY)
    monkeypatch.setattr(made, "drop", lambda: None)
    try:
        assert isinstance(made.ask(question("http://c.lab", None)), Reply)
    except ZtgateError as error:
        assert all(letter.isprintable() for letter in error.message + error.hint)
