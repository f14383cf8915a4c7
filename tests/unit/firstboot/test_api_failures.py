"""When the API fails, in every way that there is: what people are told, how often it is asked, what is lost.

Each fault lasts an hour by the gateway's clock, the service waiting and its timer starting it again. Then
it goes, and nobody does anything.
"""

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ztgate import exchange, http, service
from ztgate.secret import Secret

from lab import faults, tls
from lab.httpd import HttpServer
from lab.tls import Certificate

from .api_world import World, without_ours, world
from .support import NETWORK, TOKEN

HOUR, MINUTE = 3600.0, 60.0
UNRESOLVED = "api.invalid"  # RFC 6761: nobody ever has such a name
# A fault begins in a world, with its certificates in a directory; the value mends it.
Begin = Callable[[World, Path], Callable[[], object]]


@dataclass(frozen=True)
class Case:
    """A fault, and what people are told of it: the state, and a pattern for the whole sentence."""

    name: str
    begin: Begin
    state: str
    reason: str
    recovers: float = 18 * MINUTE  # at the latest, after it is mended: a round of eight requests was the last
    kind: str = "central-v1"


# Seconds that stand for the usual ones while these faults are there alone: real requests may take their time.
SHORTER: dict[Any, tuple[ModuleType, str, Any]] = {
    faults.drip: (http, "LIMIT", 0.15),
    faults.silence: (exchange, "TIMEOUT", (10.0, 0.1)),
}


def on_the_wire(fault: faults.Fault, after: int = 0) -> Begin:
    def begin(gateway: World, _: Path) -> Callable[[], object]:
        shorter = SHORTER.get(fault)
        usual = getattr(*shorter[:2]) if shorter else None

        def mend() -> None:
            gateway.faulty.mend()
            if shorter:
                gateway.patch.setattr(*shorter[:2], usual)

        if shorter:
            gateway.patch.setattr(*shorter)
        gateway.faulty.play(fault, after=after)
        return mend

    return begin


def unresolved(gateway: World, _: Path) -> Callable[[], object]:
    gateway.configure(UNRESOLVED, gateway.server.port)
    real = socket.getaddrinfo

    def resolving(host: Any, *args: Any, **options: Any) -> Any:
        return real("localhost" if host == UNRESOLVED else host, *args, **options)

    return lambda: gateway.patch.setattr(socket, "getaddrinfo", resolving)


def refused(gateway: World, _: Path) -> Callable[[], object]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway.configure("localhost", port)

    def listen() -> None:
        gateway.later.enter_context(HttpServer(gateway.faulty, port, tls=gateway.server.tls))

    return listen


def certificate_of(kind: str) -> Begin:
    def begin(gateway: World, directory: Path) -> Callable[[], object]:
        good = gateway.server.tls
        bad = directory / kind
        gateway.server.tls = tls.server_context(bad / "server.pem", bad / "server.key")

        def mend() -> None:
            gateway.server.tls = good

        return mend

    return begin


def expired_by_a_doubtful_clock(gateway: World, directory: Path) -> Callable[[], object]:
    paths = gateway.boot().paths
    paths.synchronized.unlink()
    paths.rtc.mkdir(parents=True)
    gateway.unsynchronized = True
    return certificate_of("expired")(gateway, directory)


def nineteen_seventy(gateway: World, _: Path) -> Callable[[], object]:
    gateway.boot().paths.synchronized.unlink()
    gateway.unsynchronized = True

    def set_by_a_time_server() -> None:
        gateway.unsynchronized = False

    return set_by_a_time_server


API = r"the controller at localhost:\d+"
HOST = r"localhost:\d+"
NOT_WHOLE = "the reply was not complete"
OTHER = f"{HOST} answered with something else than a network:"
ASKED = rf"(GET|POST) /network/{NETWORK}"
WIRE: dict[str, tuple[faults.Fault, str, str]] = {
    # OpenSSL tells a reset after the first half of a reply as its end.
    "reset": (faults.reset, "waiting", f"the connection to {API} broke off: (connection reset|{NOT_WHOLE})"),
    "short": (faults.short, "waiting", f"the connection to {API} broke off: {NOT_WHOLE}"),
    "drip": (faults.drip, "waiting", rf"{API} answers too slowly: .* not complete after 0.15 seconds"),
    "silence": (faults.silence, "waiting", f"{API} does not answer in time"),
    "301": (
        faults.status(301, Location="https://elsewhere.example/login?from=here"),
        "failed", rf"{HOST} sends us on to https://elsewhere\.example/login \(301\)",
    ),
    "400": (faults.status(400, "mtu: too odd"), "failed", rf"{HOST} answered 400 to {ASKED}: mtu: too odd"),
    "401": (faults.status(401), "failed", rf"{HOST} does not accept the token \(401\)"),
    "403": (
        faults.status(403), "failed",
        rf"the token is valid at {HOST}, but may not administer network {NETWORK} \(403\)",
    ),
    "404": (faults.status(404), "failed", rf"{HOST} knows no network {NETWORK} \(404\)"),
    "409": (faults.status(409, "busy"), "failed", rf"{HOST} answered 409 to {ASKED}: busy"),
    "429": (faults.status(429), "waiting", rf"{API} asks for fewer calls \(429\)"),
    "500": (faults.status(500), "waiting", rf"{API} has trouble \(500\)"),
    "503": (faults.status(503), "waiting", rf"{API} has trouble \(503\)"),
    "portal": (
        faults.portal, "waiting",
        f"a web page answers in place of the API at {HOST}: a captive portal, or the wrong URL",
    ),
    "cut": (faults.cut, "waiting", f"{API} answered with damaged JSON"),
    "list": (faults.body(b"[]"), "failed", f"{OTHER} it is a list"),
    "empty": (
        faults.body(b"{}"), "failed", f"{OTHER} its id is missing",
    ),
    "rows": (
        faults.body(b'{"id": "%b", "config": {"routes": [{"via": 5}]}}' % NETWORK.encode()),
        "failed", f"{OTHER} its routes cannot be read",
    ),
    "text": (faults.body(b"It works!"), "failed", f"{HOST} answered something that is not JSON"),
}  # fmt: skip
CASES = [
    *(Case(name, on_the_wire(fault), state, reason) for name, (fault, state, reason) in WIRE.items()),
    # From the first write on, which has been carried out where only its reply is lost.
    *(
        Case(f"{name} from a write on", on_the_wire(WIRE[name][0], after=3), *WIRE[name][1:])
        for name in ("reset", "short", "drip", "silence", "cut", "401")
    ),
    # Each round then takes several requests before it fails.
    *(
        Case(f"{name} at writes", on_the_wire(faults.at_writes(WIRE[name][0])), *WIRE[name][1:])
        for name in ("403", "404", "409", "429", "503", "portal")
    ),
    *(
        Case(f"{name}, self-hosted", on_the_wire(WIRE[name][0], after=4), *WIRE[name][1:], kind="self-hosted")
        for name in ("reset", "silence", "401", "503", "cut")
    ),
    Case("DNS", unresolved, "waiting", rf"the controller at {UNRESOLVED}:\d+ cannot be reached: its name .*"),
    Case("refused", refused, "waiting", f"{API} cannot be reached: connection refused"),
    Case(
        "429 with Retry-After", on_the_wire(faults.status(429, Retry_After="1500")), "waiting",
        rf"{API} asks for fewer calls \(429\)", 26 * MINUTE,
    ),
    Case(
        "expired", certificate_of("expired"), "failed",
        f"the certificate of {HOST} is not valid at this time: it has expired",
    ),
    Case(
        "expired, or the clock is wrong", expired_by_a_doubtful_clock, "waiting",
        f"the certificate of {HOST} is not valid at this time, or the clock is wrong: it says .*"
        ", and no time server has set it",
    ),
    Case("another host", certificate_of("other"), "failed", f"the certificate of {HOST} is for another name"),
    Case(
        "signed by nobody", certificate_of("unknown"), "failed",
        f"the certificate of {HOST} is signed by nobody that this machine trusts",
    ),
    Case("1970", nineteen_seventy, "waiting", "the clock is not set yet: waiting for a time server"),
]  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory, names = tmp_path_factory.mktemp("tls"), ["localhost", UNRESOLVED]
    good = tls.make(directory / "good", names)
    tls.make(directory / "expired", names, authority=good, days=(-90, -1))
    tls.make(directory / "other", ["elsewhere.example"], authority=good)
    tls.make(directory / "unknown", names)
    return directory


@pytest.fixture
def gateway(tmp_path: Path, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    good = certificates / "good"
    monkeypatch.setattr(faults, "DRIP", 0.02)
    made = Certificate(good / "ca.pem", good / "server.pem", good / "server.key")
    with world(tmp_path, made, monkeypatch) as found:
        yield found


def polite(asked: list[float]) -> bool:
    """Under 20 requests in every second."""
    return all(sum(start <= time < start + 1 for time in asked) < 20 for start in asked)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_fault(gateway: World, certificates: Path, case: Case) -> None:
    before = gateway.content()
    gateway.configure("localhost", gateway.server.port, case.kind)
    mend = case.begin(gateway, certificates)
    assert gateway.live(HOUR) != service.READY
    state, reason = gateway.status()
    assert state == case.state
    assert re.fullmatch(case.reason, reason), reason
    assert len(gateway.asked) < 60
    assert without_ours(gateway.content()) == without_ours(before)

    mend()
    assert gateway.live(case.recovers) == service.READY, gateway.status()
    assert polite(gateway.asked)
    after = gateway.content()
    assert without_ours(after) == without_ours(before)
    targets = [row["target"] for row in after["network"]["routes"]]
    assert len(set(targets)) == len(targets), "nothing is there twice"
    assert service.withdraw(gateway.boot(), token=Secret(TOKEN)) == service.READY
    assert gateway.content() == before
