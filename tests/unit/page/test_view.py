"""What the page says in each state, decided from facts alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from ztgate.page import facts, view
from ztgate.page.facts import Examination, Facts, Verdict
from ztgate.page.view import BAD, GOOD, IDLE, WARN

from .scenes import LAPTOP, ME, NOW, PHONE, SCENES, STATUS, UNUSED, WELL, WORKING, broken

HEADLINES = {
    "working": (GOOD, "Working"),
    "ipv6-off": (GOOD, "Working, IPv4 only"),
    "wan-down": (BAD, "No internet"),
    "wan-down-seen-by-ztgate": (WARN, "Waiting"),
    "waiting-for-authorization": (WARN, "Waiting"),
    "failed": (BAD, "Not working"),
    "withdrawn": (IDLE, "Withdrawn"),
    "not-through-here": (GOOD, "Working"),
    "just-started": (GOOD, "Set up"),
    "stale": (IDLE, "Not known now"),
    "nothing-known": (IDLE, "Not known yet"),
    "warning": (GOOD, "Working"),
}


def shown(scene: str, client: str = ME) -> view.View:
    return view.build(*SCENES[scene], client, NOW)


@pytest.mark.parametrize("scene", SCENES)
def test_headline(scene: str) -> None:
    assert (shown(scene).headline.tone, shown(scene).headline.title) == HEADLINES[scene]


def test_a_broken_link_comes_with_what_to_do() -> None:
    said = view.headline(WORKING, broken("ndp proxy", "ndppd is down", "ztgate apply"), NOW)
    assert said == view.Headline(BAD, "Trouble: ndp proxy", "Ndppd is down.", "ztgate apply")
    old = replace(broken("link", "x", "y"), at=NOW - view.STALE_DOCTOR - 1)
    assert view.headline(WORKING, old, NOW).title == "Working", "it may have been mended since"


def test_a_failure_keeps_its_hint_and_waiting_its_list() -> None:
    assert "ztgate register" in shown("failed").headline.hint
    assert len(shown("waiting-for-authorization").todo) == 2
    assert shown("warning").warnings == ("other default routes are due",)


@pytest.mark.parametrize(
    ("facts_", "client", "expected"),
    [
        (WORKING, ME, [(GOOD, "198.51.100.7"), (GOOD, "2600:db8:0:1:ff:54:f03b:7f83")]),
        (replace(WORKING, public6="2600:db8::1"), ME, [(GOOD, "198.51.100.7"), (GOOD, "2600:db8::1")]),
        (replace(WORKING, public4=""), "10.66.0.7", [(GOOD, ""), (GOOD, "2600:db8:0:1:ff:54:f03b:7f83")]),
        (replace(WORKING, members=(UNUSED,)), ME, [(WARN, ""), (WARN, "")]),
        (SCENES["ipv6-off"][0], ME, [(GOOD, "198.51.100.7"), (IDLE, "")]),
        (SCENES["failed"][0], ME, [(WARN, ""), (IDLE, "")]),
        (WORKING, "10.66.0.200", []),
        (replace(WORKING, members=()), ME, []),
    ],
)  # fmt: skip
def test_this_device(facts_: Facts, client: str, expected: list[tuple[str, str]]) -> None:
    me = view.build(facts_, WELL, client, NOW).me
    assert [(family.tone, family.address) for family in me.families] == expected


@pytest.mark.parametrize(
    ("client", "who"),
    [
        (ME, "anna-laptop"),
        ("10.66.0.8", "bbbbbbbbbb"),
        ("::1", "the gateway itself"),
        ("10.66.0.200", "a member that the gateway has not met yet"),
        ("", "a member that the gateway has not met yet"),
    ],
)
def test_who_looks(client: str, who: str) -> None:
    assert shown("working", client).me.who == who


def test_members_who_are_there_come_first() -> None:
    rows = shown("working").members
    assert [(row.who, row.way, row.seen, row.there, row.me) for row in rows] == [
        ("anna-laptop", "direct, 12 ms", "now", True, True),
        ("10.66.0.99", "", "now", True, False),
        ("bbbbbbbbbb", "relayed", "now", True, False),
        ("printer", "", "1 hour ago", False, False),
    ]
    assert (rows[0].sent, rows[0].received, shown("working").there) == ("123 MB", "9.9 GB", 3)


def test_where_a_member_is_is_nobodys_business() -> None:
    evidence = "54f03b7f83 answers at 10.66.0.7, direct by 198.51.100.9/9993, 12 ms"
    verdicts = (Verdict("members", True, evidence),)
    (said,) = view.build(WORKING, Examination(NOW, verdicts), ME, NOW).verdicts
    assert said.evidence == "54f03b7f83 answers at 10.66.0.7, direct, 12 ms"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "now"), (0, "now"), (1, "1 second ago"), (59, "59 seconds ago"), (60, "1 minute ago"),
     (7300, "2 hours ago"), (200_000, "2 days ago")],
)  # fmt: skip
def test_age(seconds: float, words: str) -> None:
    assert view.age(seconds) == words


@pytest.mark.parametrize(
    ("rate", "words"),
    [(None, ""), (0.0, "0 bit/s"), (100.0, "800 bit/s"), (1_000.0, "8.0 kbit/s"), (3.4e6, "27.2 Mbit/s"),
     (1.25e8, "1.0 Gbit/s"), (1.25e11, "1000 Gbit/s")],
)  # fmt: skip
def test_rate(rate: float | None, words: str) -> None:
    assert view.build(replace(WORKING, down=rate), WELL, ME, NOW).down == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456_789, "123 MB"), (2e15, "2.0 PB")],
)
def test_size(count: float, words: str) -> None:
    assert view.size(count) == words


def test_members_see_no_paths_and_no_commands() -> None:
    data = {
        **STATUS,
        "source": "/boot/firmware/gateway.yaml",
        "commands": ["curl"],
        "builder": ["./build.py"],
    }
    assert view.status_of(data) == STATUS


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    (tmp_path / facts.FACTS).write_bytes(facts.dump(WORKING))
    (tmp_path / facts.DOCTOR).write_bytes(facts.dump(WELL))
    read = facts.facts(tmp_path)
    assert read.members == (LAPTOP, PHONE, *WORKING.members[2:])
    assert replace(read, interfaces=WORKING.interfaces) == WORKING
    assert facts.examination(tmp_path) == WELL
