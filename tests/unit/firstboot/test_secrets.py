"""Neither the token nor the Wi-Fi password gets out: whatever fails, in a log, a status or on a console."""

import dataclasses
import io
import json
import logging
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from ztgate import __main__, config, configfile, register, report, service
from ztgate.doctor import chain, verdict
from ztgate.errors import ZtgateError
from ztgate.machine import Machine
from ztgate.secret import SHOWN, Secret, hidden
from ztgate.steps import drop_token

from tests.unit.editors import EDITORS

from .support import NETWORK, FakeController, machine, with_console

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "Qm7tWx3vBn9kLp2sRd5fGh8jKz4cYe6u"  # not the one of the schema's example, which hints do show
PASSWORD = "correct9horse"
NET = f"network: {NETWORK}\n"
TEXT = f"""\
{NET}controller: {{kind: central-v1, token: "{TOKEN}"}}
wifi: {{ssid: attic, password: "{PASSWORD}", country: DE}}
"""
KEEP = TEXT.replace("controller: {", "controller: {token-after-setup: keep, ")


def leaks(content: bytes) -> list[str]:
    """Which secrets are in it, as they are or in base64."""
    return [secret for secret in (TOKEN, PASSWORD) if drop_token.edits(content, secret)]


@dataclasses.dataclass
class Sweep:
    """All that somebody might read, wherever it was written."""

    root: Path
    caplog: pytest.LogCaptureFixture
    capsys: pytest.CaptureFixture[str]

    def texts(self) -> dict[str, bytes]:
        said = self.capsys.readouterr()
        found = {"stdout": said.out.encode(), "stderr": said.err.encode(), "log": self.caplog.text.encode()}
        mine = ("gateway.yaml", "wifi-wlan0.conf")  # where they are meant to be
        files = (path for path in self.root.rglob("*") if path.is_file() and path.name not in mine)
        return found | {str(path): path.read_bytes() for path in files}

    def check(self, *expected: str) -> None:
        texts = self.texts()
        assert {where: leaks(content) for where, content in texts.items() if leaks(content)} == {}
        everything = b"".join(texts.values()).decode()
        for word in expected:
            assert word in everything


@pytest.fixture
def sweep(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Sweep:
    caplog.set_level(logging.DEBUG)
    return Sweep(tmp_path, caplog, capsys)


def gateway(root: Path, text: str = TEXT, controller: FakeController | None = None) -> Machine:
    """A machine with a console and a wireless adapter."""
    made = machine(root, controller, text=text)
    with_console(made)
    (made.paths.interfaces / "wlan0/phy80211").mkdir(parents=True)
    return made


def test_a_secret_shows_nothing() -> None:
    read = config.load(TEXT, "g")
    for secret in (read.controller.token, read.wifi.password if read.wifi else None):
        assert isinstance(secret, Secret)
        assert {str(secret), repr(secret), f"{secret}", "%s" % secret, "{!r}".format(secret)} == {SHOWN}  # noqa: UP031, UP032
    assert leaks(repr(read).encode()) == leaks(str(dataclasses.asdict(read)).encode()) == []
    with pytest.raises(TypeError) as caught:
        json.dumps(dataclasses.asdict(read.controller))
    assert not leaks(str(caught.value).encode())
    assert read.controller.token == Secret(TOKEN) != TOKEN
    assert hidden(f"Invalid header value b'token {TOKEN}'") == f"Invalid header value b'token {SHOWN}'"


# What people type; each time the secret is where it should not be, or as it should not be.
MISTYPED = [
    f"controller: {{token: *{TOKEN}}}",
    f"controller: {{token: !{TOKEN} x}}",
    f"controller: {{token: &{TOKEN} x, kind: &{TOKEN} y}}",
    f"controller: {{token: %{TOKEN}}}",
    f"controller: {{token: [{TOKEN}]}}",
    f"controller: {{token: {{{TOKEN}: 1}}}}",
    f"controller: {{token: '{TOKEN} and more'}}",
    f"controller: {{token={TOKEN}}}",
    f"controller: {{token {TOKEN}}}",
    f"controller: {{token-fil: {TOKEN}, {TOKEN}: 1, {TOKEN}: 2}}",
    f"controller: {{{TOKEN}}}",
    f"controller: [{TOKEN}]",
    f"controller: token {TOKEN}",
    f"controller: {TOKEN}",
    f"controller:\n  - {TOKEN}",
    f"controller:\n  token: {TOKEN}: x",
    f"controller:\n  token: {TOKEN}\n   kind: x",
    f'controller:\n  token: "{TOKEN}',
    f"controller: {{kind: {TOKEN}}}",
    f"controller: {{url: 'https://me:{TOKEN}@controller.lab'}}",
    f"controller: {{url: 'http://controller.lab:9993/?auth={TOKEN}'}}",
    f"gateway: {{address: {TOKEN}, mtu: {TOKEN}, takeover: {TOKEN}}}",
    f"ssh: {{from: {TOKEN}, authorized-keys: [{TOKEN}]}}",
    f"wifi: {{ssid: attic, password {PASSWORD}}}",
    f"wifi: {{ssid: attic, password={PASSWORD}}}",
    f"wifi: {{ssid: attic, {PASSWORD}}}",
    f"wifi: {{ssid: attic, password: '{PASSWORD}\u00fc'}}",
    f"zerotier: {{planet: '{TOKEN}!'}}",
    f"? {TOKEN}",
    f"{TOKEN}",
    f"{TOKEN}: x",
]


@pytest.mark.parametrize(
    "text", [*(NET + line for line in MISTYPED), f"network: {TOKEN}", f"network {TOKEN}"]
)
def test_what_is_mistyped_is_not_repeated(tmp_path: Path, sweep: Sweep, text: str) -> None:
    made = gateway(tmp_path, text + "\n")
    assert service.apply(made, once=True) == service.FAILED
    assert verdict.text(chain.examine(made))
    sweep.check("gateway.yaml:")


def prepared() -> requests.PreparedRequest:
    """What exceptions of the library carry with them."""
    headers = {"Authorization": f"token {TOKEN}"}
    return requests.Request("GET", "https://c.lab/", headers=headers).prepare()


def answer(status: int, body: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content, made.request = status, body.encode(), prepared()
    return made


def of_requests() -> list[type[requests.RequestException]]:
    known = vars(requests.exceptions).values()
    return [kind for kind in known if isinstance(kind, type) and issubclass(kind, requests.RequestException)]


def raised(kind: type[requests.RequestException]) -> Exception:
    text = f"header 'token {TOKEN}'"
    args = (text, text, 0) if issubclass(kind, json.JSONDecodeError) else (text,)
    return kind(*args, request=prepared())


ECHO = json.dumps({"config": {"routes": [{"target": TOKEN, "via": f"token {TOKEN}"}]}})
FAULTS: dict[str, Exception | requests.Response] = {
    **{kind.__name__: raised(kind) for kind in of_requests()},
    "of the connection's headers": ValueError(f"Invalid header value b'token {TOKEN}'"),
    "of encoding": UnicodeEncodeError("latin-1", f"token {TOKEN}\u20ac", 6, 7, "ordinal not in range"),
    "of the library": AttributeError(f"'NoneType' object has no attribute 'token {TOKEN}'"),
    "of recursion": RecursionError(TOKEN),
    **{
        str(status): answer(status, f"no {TOKEN}") for status in (301, 400, 401, 403, 404, 409, 429, 500, 503)
    },
    "a web page": answer(200, f"<html>{TOKEN}"),
    "truncated": answer(200, f'{{"config": "{TOKEN}'),
    "another shape": answer(200, f'["{TOKEN}"]'),
    "an echo": answer(200, ECHO),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["apply", "withdraw"])
def test_a_controller_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep: Sweep, verb: str, fault: str
) -> None:
    asked = []

    def request(*words: Any, **more: Any) -> requests.Response:
        asked.append(more["headers"]["Authorization"])
        found = FAULTS[fault]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(requests.Session, "request", request)
    made = gateway(tmp_path)
    run: Callable[..., int] = service.withdraw if verb == "withdraw" else service.apply
    more = {} if verb == "withdraw" else {"once": True}
    assert run(made, **more) in (service.FAILED, service.WAITING)
    assert asked[0] == f"token {TOKEN}", "the controller itself is shown it"
    sweep.check('"state": ', "ztgate: ")


def boom(error: BaseException, cause: BaseException | None = None) -> Callable[..., None]:
    def fails(*_: object) -> None:
        token, password = TOKEN, PASSWORD
        assert token and password
        raise error from cause

    return fails


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (KeyError("routes"), None),
        (KeyError(TOKEN), None),
        (IndexError(PASSWORD), None),
        (RuntimeError("wrapped"), ValueError(f"it was {TOKEN}")),
        (OSError(5, "Input/output error", "/x"), ValueError(f"it was {TOKEN}")),
        (ZtgateError("wrong", "mend it"), ValueError(f"it was {TOKEN}")),
    ],
)
def test_what_should_not_happen(
    tmp_path: Path,
    controller: FakeController,
    monkeypatch: pytest.MonkeyPatch,
    sweep: Sweep,
    error: Exception,
    cause: Exception | None,
) -> None:
    """With the token in the locals of the function that fails, or in what it says."""
    monkeypatch.setattr(register, "choose_address", boom(error, cause))
    made = gateway(tmp_path, controller=controller)
    assert service.apply(made, once=True) == service.FAILED
    expected = isinstance(error, OSError | ZtgateError)
    sweep.check('"state": "failed"', *(() if expected else ("Traceback", "in fails")))


@pytest.mark.parametrize("text", [TEXT, KEEP])
@pytest.mark.parametrize("dry", [False, True])
def test_a_run_that_succeeds(
    tmp_path: Path, controller: FakeController, sweep: Sweep, text: str, dry: bool
) -> None:
    """Kept or discarded, and in a plan that is only shown: the token is in gateway.yaml or nowhere."""
    made = gateway(tmp_path, text, controller)
    made.dry_run = dry
    service.apply(made, once=True)
    print(report.text(report.read(made)), verdict.text(chain.examine(made)), made.performed, made.warnings)
    print(configfile.find(made.paths))
    sweep.check(
        *([] if dry else ['"state": "ready"', f'"token": "{"kept" if text == KEEP else "discarded"}"'])
    )
    assert (TOKEN in made.paths.fat_config.read_text()) is (dry or text == KEEP)
    assert dry or PASSWORD in made.paths.wifi("wlan0").read_text()
    assert dry or made.paths.wifi("wlan0").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What register and withdraw are called with."""
    taken: list[object] = []

    def take(*_: object, token: object, **more: object) -> int:
        taken.append(token)
        return 0

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(service, "apply", take)
    monkeypatch.setattr(service, "withdraw", take)
    return taken


@pytest.mark.parametrize("verb", ["register", "withdraw"])
@pytest.mark.parametrize("editor", [*(name for name in EDITORS if name != "Latin-1"), "-"])
def test_a_token_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[object], verb: str, editor: str
) -> None:
    text = f"{TOKEN}\n"
    if editor == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    else:
        (tmp_path / "t").write_bytes(EDITORS[editor](text))
    assert __main__.main([verb, "--token-file", "-" if editor == "-" else str(tmp_path / "t")]) == 0
    assert given == [Secret(TOKEN)] and not leaks(repr(given).encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (f"{TOKEN} {TOKEN}".encode(), "one token in one line"),
        (f"# mine\n{TOKEN}\n".encode(), "one token in one line"),
        (f"{TOKEN}\u20ac\n".encode(), "one token in one line"),
        (f"{TOKEN}\n\0".encode(), "not a text file"),
        (f"token: {TOKEN}".encode(), "one token in one line"),
        (None, "No such file"),
    ],
)
def test_a_token_file_that_has_none(
    tmp_path: Path, sweep: Sweep, given: list[object], content: bytes | None, words: str
) -> None:
    path = tmp_path / "elsewhere"
    name = TOKEN if content is None else str(path)  # the token itself, where a file was asked for
    if content is not None:
        path.write_bytes(content)
    assert __main__.main(["register", "--token-file", name]) == 1
    path.unlink(missing_ok=True)
    sweep.check(f"--token-file: {words}" if content is None else words)
    assert given == []


def test_a_crash_leaves_no_memory_behind(tmp_path: Path) -> None:
    program = (
        f"import os, resource, sys; sys.path.insert(0, {str(ROOT / 'firstboot')!r})\n"
        "from ztgate.__main__ import main\n"
        f"token = {TOKEN!r}\nmain(['version']); print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)\n"
        "os.abort()\n"
    )
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    done = subprocess.run(
        [sys.executable, "-"],
        input=program,
        cwd=tmp_path,
        text=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )
    assert done.returncode == -6 and done.stdout.endswith("(0, 0)\n")
    assert list(tmp_path.iterdir()) == []
