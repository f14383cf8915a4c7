"""Members let in by hand or by a window: what is typed, what fails meanwhile, and how it ends."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from ztgate import __main__, admit, enrol, report, service, tell
from ztgate.calls import UnavailableError
from ztgate.controllers.base import Member
from ztgate.enrol import Window
from ztgate.errors import WaitingError, ZtgateError
from ztgate.formats import NAME
from ztgate.machine import Machine
from ztgate.secret import Secret
from ztgate.wait import in_words

from .support import GOOD, NETWORK, NODE, TOKEN, FakeClock, FakeController, machine, tools, with_console

SCHEMA = Path(__file__).parents[3] / "firstboot/gateway.schema.json"
OLD, PUT_OUT, NEW, NEXT = "54f03b7f83", "54f03b7f84", "aa00000001", "aa00000002"
LAN = {"routes": [{"target": "10.66.0.0/24", "via": None}], "mtu": 2800}


class Desk(FakeController):
    """A controller that may fail. failures: how often yet, by what is asked of it."""

    def __init__(self) -> None:
        super().__init__(LAN)
        self.failures: dict[str, list[ZtgateError]] = {}
        self.taken_though_failed = False
        self.rows = {OLD: {"authorized": False, "name": "old"}, PUT_OUT: {"authorized": False}}

    def _may_fail(self, what: str) -> None:
        if self.failures.get(what):
            raise self.failures[what].pop(0)

    def members(self, network: str) -> dict[str, Member]:
        self._may_fail("members")
        return super().members(network)

    def member(self, network: str, node: str) -> Member | None:
        return super().members(network).get(node)

    def write_member(self, network: str, node: str, changes: dict[str, Any]) -> None:
        if self.taken_though_failed:
            super().write_member(network, node, changes)
        self._may_fail("write")
        super().write_member(network, node, changes)

    def ask(self, *nodes: str, **settings: Any) -> Callable[[], None]:
        """Nodes that ask, later."""
        return lambda: self.rows.update({node: {"authorized": False, **settings} for node in nodes})

    def inside(self) -> set[str]:
        return {node for node, row in self.rows.items() if row["authorized"]}


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    for module in (admit, tell, service):
        monkeypatch.setattr(module, "open_controller", lambda *_: made)
    return made


@pytest.fixture
def made(tmp_path: Path, desk: Desk) -> Machine:
    return machine(tmp_path, desk)


@pytest.fixture
def at(made: Machine) -> Callable[[float, Callable[[], object]], None]:
    """Something happens so many seconds after the window is opened."""
    assert isinstance(made.clock, FakeClock)
    clock = made.clock
    return lambda seconds, what: clock.at.__setitem__(clock.time + seconds, what)


At = Callable[[float, Callable[[], object]], None]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("12h", 43200),
        ("10s", 10),
        ("9s", "is too short"),
        ("0m", "is too short"),
        ("13h", "is too long"),
        ("10", "is no duration"),
        ("m", "is no duration"),
        ("1h30m", "is no duration"),
        ("-5m", "is no duration"),
        ("1d", "is no duration"),
        ("10 m", "is no duration"),
        ("10m\n", "is no duration"),
        ("\u0661m", "is no duration"),
    ],
)
def test_durations(text: str, result: int | str) -> None:
    if isinstance(result, int):
        assert enrol.duration(text) == result
        return
    with pytest.raises(ZtgateError, match=result) as caught:
        enrol.duration(text)
    assert f"`{text}`" in caught.value.message
    assert caught.value.hint


@hypothesis.given(strategies.text(max_size=12) | strategies.from_regex(r"[0-9]{1,12}[smhd]", fullmatch=True))
def test_whatever_is_typed_is_a_duration_or_named(text: str) -> None:
    try:
        assert enrol.SHORTEST <= enrol.duration(text) <= enrol.LONGEST
    except ZtgateError as error:
        assert text in error.message


@hypothesis.given(strategies.integers(0, enrol.LONGEST))
def test_durations_in_words_add_up(seconds: int) -> None:
    words = in_words(seconds).split()
    units = {"h": 3600, "min": 60, "s": 1}
    assert sum(int(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True)) == seconds


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["authorize", "54f03b7f8"], "`54f03b7f8` is no node id"),
        (["authorize", "54f03b7f8g"], "`54f03b7f8g` is no node id"),
        (["authorize", NETWORK], f"`{NETWORK}` is a network id"),
        (["authorize", "0000000000"], "ZeroTier reserves"),
        (["deauthorize", "ff00000001"], "ZeroTier reserves"),
        (["authorize", OLD, "--name", "a/b"], "--name: `a/b` is no name"),
        (["authorize", OLD, "--name", "x" * 65], "is no name"),
        (["enrol", "--name-prefix", "x" * 61], "is no name"),
        (["enrol", "--count", "0"], "--count: `0` is no number"),
        (["enrol", "--count", "three"], "--count: `three` is no number"),
        (["enrol", "--for", "soon"], "--for: `soon` is no duration"),
        (["enrol", "phone"], "`phone` is no node id"),
    ],
)
def test_what_is_typed_wrong_is_named(
    argv: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert __main__.main(argv) == 1
    said = capsys.readouterr().err.splitlines()
    assert message in said[0]
    assert said[1].strip()


def test_members_are_named_like_the_gateway() -> None:
    schema = json.loads(SCHEMA.read_text())["properties"]["gateway"]["properties"]["name"]
    assert schema["pattern"] == f"^{NAME.pattern}$"


def test_no_token_and_no_controller_to_ask(tmp_path: Path, desk: Desk) -> None:
    texts = {
        f"network: {NETWORK}\ncontroller: {{kind: none}}\n": ("kind is none", "Members: authorize"),
        f"network: {NETWORK}\ncontroller: {{kind: central-v1}}\n": ("no token", "--token-file"),
    }
    for number, (text, (message, hint)) in enumerate(texts.items()):
        made = machine(tmp_path / str(number), desk, text)
        with pytest.raises(ZtgateError, match=message) as caught:
            admit.authorize(made, OLD, "", None)
        assert hint in caught.value.hint
        with pytest.raises(ZtgateError, match=message):
            enrol.run(made, Window(60, 1), None)
    admit.authorize(made, OLD, "", Secret(TOKEN))
    assert desk.inside() == {OLD}


def test_one_member(made: Machine, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(ZtgateError, match="this gateway itself"):
        admit.authorize(made, NODE, "", None)
    admit.authorize(made, NEW, "phone", None)
    assert "it has not asked yet" in caplog.text
    assert desk.rows[NEW] == {"authorized": True, "name": "phone"}
    desk.rows[OLD]["ipAssignments"] = ["10.66.0.101"]
    admit.authorize(made, OLD, "", None)
    assert "its addresses: 10.66.0.101" in caplog.text
    caplog.clear()
    performed = len(made.performed)
    admit.authorize(made, OLD, "", None)
    assert "is a member of network" in caplog.text
    assert len(made.performed) == performed
    admit.authorize(made, PUT_OUT, "", None)
    assert "has no address yet" in caplog.text
    admit.deauthorize(made, OLD, None)
    assert desk.inside() == {NEW, PUT_OUT}
    with pytest.raises(ZtgateError, match="is no member"):
        admit.deauthorize(made, NEXT, None)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What has been said of the window."""
    caplog.set_level("INFO")
    begin = "ztgate: enrol: "
    return lambda: [text.removeprefix(begin) for text in caplog.messages if text.startswith(begin)]


Said = Callable[[], list[str]]


@pytest.mark.parametrize("count", [1, 2])
def test_the_count_closes_it(made: Machine, desk: Desk, at: At, said: Said, count: int) -> None:
    console = with_console(made)
    at(7, desk.ask(NEW, NEXT))
    assert enrol.run(made, Window(600, count), None) == 0
    assert "ztgate: enrol: closed, everybody is in" in console.read_text()
    assert desk.inside() == {NEW, NEXT} if count == 2 else {NEW}
    assert said()[-1].startswith(f"closed, everybody is in: {count} of {count} let in: {NEW}")
    assert f"let in {NEW}, 1 of {count}" in said()
    assert ("systemd-cat", "-t", "ztgate") in tools(made).calls
    assert desk.inside() <= set(json.loads(made.paths.members.read_text())), "their names are looked up"


def test_time_closes_it(made: Machine, desk: Desk, at: At, said: Said) -> None:
    at(61, desk.ask(NEW))
    assert enrol.run(made, Window(60, 3), None) == 0
    assert desk.inside() == set()
    assert said() == [
        "open for 1 min, for up to 3 new members",
        "closed, the time is up: 0 of 3 let in",
    ]
    assert not enrol.shown(made.paths, made.clock)


def test_an_answer_that_comes_too_late_lets_nobody_in(made: Machine, desk: Desk, at: At) -> None:
    at(7, desk.ask(NEW))
    slow = desk.members

    def members(network: str) -> dict[str, Member]:
        made.clock.sleep(59)
        return slow(network)

    at(2, lambda: setattr(desk, "members", members))
    assert enrol.run(made, Window(60, 3), None) == 0
    assert desk.inside() == set()


@pytest.mark.parametrize(
    ("stop", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_being_ended_closes_it(
    made: Machine, desk: Desk, at: At, said: Said, stop: signal.Signals, status: int
) -> None:
    at(7, desk.ask(NEW))
    at(25, lambda: signal.raise_signal(stop))
    at(40, desk.ask(NEXT))
    assert enrol.run(made, Window(600, 3), None) == status
    assert desk.inside() == {NEW}
    assert said()[-1] == f"closed, it was ended: 1 of 3 let in: {NEW}"
    assert not enrol.shown(made.paths, made.clock)


def test_whom_the_owner_left_out_has_to_be_named(made: Machine, desk: Desk, at: At) -> None:
    at(7, desk.ask(NEW))
    assert enrol.run(made, Window(60, 3, named=frozenset({OLD, NEXT})), None) == 0
    assert desk.inside() == {NEW, OLD}
    assert desk.rows[OLD]["name"] == "old"


REFUSED = ZtgateError("Central does not accept the token (401)", "put a valid one there")
TROUBLE = UnavailableError("the controller has trouble (503)", "later")
BUSY = UnavailableError("the controller asks for fewer calls (429)", "later", asked_for=100.0)


@pytest.mark.parametrize(
    ("what", "errors", "within"),
    [("members", [TROUBLE] * 5, 250), ("members", [BUSY], 150), ("write", [TROUBLE, REFUSED], 60)],
)
def test_failures_leave_it_open(
    made: Machine, desk: Desk, at: At, said: Said, what: str, errors: list[ZtgateError], within: float
) -> None:
    start = made.clock.now()
    at(7, desk.ask(NEW))
    at(7.5, lambda: desk.failures.update({what: list(errors)}))
    assert enrol.run(made, Window(600, 1), None) == 0
    assert desk.inside() == {NEW}
    assert made.clock.now() - start < within
    if errors == [BUSY]:
        assert made.clock.now() - start > 100
    assert said().count(f"{errors[0].message}: asking again") == 1
    assert not (made.paths.run_dir / "trouble.json").exists(), "that is apply's"


def test_one_whose_answer_was_lost_counts(made: Machine, desk: Desk, at: At) -> None:
    at(7, desk.ask(NEW, NEXT))
    desk.taken_though_failed, desk.failures = True, {"write": [TROUBLE]}
    assert enrol.run(made, Window(600, 1), None) == 0
    assert desk.inside() == {NEW}


def test_a_controller_that_fails_at_first_opens_no_window(made: Machine, desk: Desk) -> None:
    desk.failures = {"members": [TROUBLE]}
    with pytest.raises(WaitingError, match="503"):
        enrol.run(made, Window(600, 1), None)
    assert not enrol.shown(made.paths, made.clock)


def test_what_nobody_foresaw_closes_it(made: Machine, desk: Desk, at: At, said: Said) -> None:
    def broken(_: str) -> dict[str, Member]:
        raise KeyError(f"authorization: {TOKEN}")

    at(7, lambda: setattr(desk, "members", broken))
    assert enrol.run(made, Window(600, 1), Secret(TOKEN)) == 1
    assert said()[-1].startswith("closed, unexpected: KeyError")
    assert TOKEN not in "".join(said())


def test_it_asks_seldom(made: Machine, desk: Desk) -> None:
    for seconds, most in ((600, 70), (enrol.LONGEST, enrol.MOST_LOOKS + 10)):
        desk.calls = 0
        enrol.run(made, Window(seconds, 3), None)
        assert desk.calls <= most


def test_the_gateway_is_healed_meanwhile(made: Machine, desk: Desk, at: At) -> None:
    """Runs of apply, two windows and `ztgate status`, all while a window is open."""
    assert service.apply(made, once=True) == service.READY
    made.paths.fat_config.write_text(GOOD)
    line = (made.paths.run_dir / "console").read_text()
    seen: list[dict[str, Any]] = []
    ended: list[int] = []

    def put_it_out() -> None:
        desk.rows[NODE]["authorized"] = False
        beside = machine(made.paths.root, desk, text="")
        beside.service.call = made.service.call  # type: ignore[method-assign]
        ended.append(service.apply(beside, once=True))

    def look() -> None:
        seen.append(enrol.shown(made.paths, made.clock))
        with pytest.raises(ZtgateError, match="open already"):
            enrol.run(made, Window(60, 1), None)

    at(12, desk.ask(NEW))
    at(22, put_it_out)
    at(35, look)
    assert enrol.run(made, Window(120, 3), None) == 0
    assert ended == [service.READY]
    assert desk.inside() == {NEW, NODE}
    (window,) = (each["enrol"] for each in seen)
    assert (window["members_left"], window["let_in"]) == (2, [NEW])
    text = report.text(report.read(made) | seen[0])
    assert f"enrol window: open for {in_words(window['seconds_left'])} more, members left: 2" in text
    assert (made.paths.run_dir / "console").read_text() == line, "the state is not said again"


def test_a_window_whose_process_was_killed_is_not_shown(made: Machine) -> None:
    made.paths.run_dir.mkdir(parents=True)
    data = {"pid": 2**30, "until": made.clock.now() + 60, "count": 3, "let_in": []}
    (made.paths.run_dir / "enrol.json").write_text(json.dumps(data))
    assert enrol.shown(made.paths, made.clock) == {}
