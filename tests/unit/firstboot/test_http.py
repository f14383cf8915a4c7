"""Retries, pauses, and what people are told."""

import email.utils
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from ztgate import exchange, http
from ztgate.calls import TRIES, Calls, UnavailableError
from ztgate.controllers.central_v1 import CentralV1
from ztgate.controllers.self_hosted import SelfHosted
from ztgate.errors import WaitingError, ZtgateError
from ztgate.exchange import Direct
from ztgate.paths import Paths
from ztgate.secret import Secret
from ztgate.wait import pauses, until

from .support import TOKEN, FakeClock

Reply = tuple[int, str] | tuple[int, str, dict[str, str]] | Exception
NET = "116be780b4870839"
Kind = Callable[[http.Api], CentralV1 | SelfHosted]


class Session:
    """Answers in turn; the last answer for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        self.asked.append((method, url, options))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        made = requests.Response()
        made.status_code, made.raw = reply[0], io.BytesIO(reply[1].encode())
        if len(reply) > 2:
            made.headers.update(reply[2])
        return made


def api(*replies: Reply, headers: dict[str, str] | None = None) -> tuple[http.Api, Session, FakeClock]:
    session, clock = Session(*replies), FakeClock()
    calls = Calls(Paths(Path("/nonexistent")), clock)
    made = http.Api(
        "https://c.lab/api/v1", headers or {}, authority="CA", calls=calls,
        exchange=Direct(session),  # type: ignore[arg-type]
    )  # fmt: skip
    return made, session, clock


def test_success_needs_one_call() -> None:
    made, session, clock = api((200, '{"a": 1}'))
    assert made.request("POST", "/network/x", {"b": 2}) == {"a": 1}
    method, url, options = session.asked[0]
    assert (method, url, options["data"]) == ("POST", "https://c.lab/api/v1/network/x", '{"b": 2}')
    assert (Path(options["verify"]).read_text(), options["allow_redirects"]) == ("CA", False)
    assert clock.slept == []


@pytest.mark.parametrize("authority", ["", "CA"])
def test_an_authority_that_is_empty_is_not_everybody(authority: str) -> None:
    session = Session((200, ""))
    question = exchange.Question("GET", "https://c.lab/x", "c.lab", {}, None, authority)
    Direct(session).ask(question)  # type: ignore[arg-type]
    assert Path(session.asked[0][2]["verify"]).read_text() == authority


def test_trouble_is_retried_with_growing_pauses() -> None:
    made, session, clock = api((503, ""), requests.Timeout(), (200, ""))
    assert made.request("GET", "/x") == {}
    assert len(session.asked) == 3
    assert 0.6 < clock.slept[0] < clock.slept[1] < 3


def test_a_short_retry_after_is_waited_for() -> None:
    made, _, clock = api((429, "", {"Retry-After": "17"}), (200, ""))
    made.request("GET", "/x")
    assert clock.slept == [17.0]


def test_a_long_retry_after_ends_the_round() -> None:
    made, session, clock = api((429, "", {"Retry-After": "600"}))
    with pytest.raises(UnavailableError, match="fewer calls") as caught:
        made.request("GET", "/x")
    assert (caught.value.asked_for, len(session.asked), clock.slept) == (600.0, 1, [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5", 5.0), ("", 0.0), ("soon", 0.0), ("\u00b2", 0.0), (email.utils.formatdate(1007), 7.0)],
)
def test_retry_after_header(value: str, expected: float) -> None:
    assert http.retry_after(value, now=1000.0) == expected


def test_patience_ends_and_the_run_begins_again() -> None:
    made, session, _ = api((500, ""))
    with pytest.raises(WaitingError, match="has trouble"):
        made.request("GET", "/x")
    assert len(session.asked) == TRIES


def test_pauses_grow_to_a_limit_and_differ() -> None:
    taken = [pause for pause, _ in zip(pauses(1.0, 30.0), range(12), strict=False)]
    assert 0.6 < taken[0] < 1.4 and 20 < taken[-1] <= 30
    assert len(set(taken[:5])) == 5


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (CentralV1, 401, "does not accept the token"),
        (CentralV1, 403, "may not administer network"),
        (CentralV1, 404, "knows no network"),
        (SelfHosted, 401, "does not accept the token"),
        (SelfHosted, 404, "without a controller"),
    ],
)
def test_refusals_in_words(kind: Kind, code: int, words: str) -> None:
    made, _, clock = api((code, ""), headers={"Authorization": f"token {TOKEN}"})
    with pytest.raises(ZtgateError, match=words) as caught:
        kind(made).network(NET)
    assert not isinstance(caught.value, WaitingError) and sum(clock.slept) < 1
    assert TOKEN not in caught.value.message + caught.value.hint + repr(caught.value)


def test_self_hosted_without_this_network() -> None:
    made, *_ = api((404, ""), (200, '{"controller": true}'))
    with pytest.raises(ZtgateError, match="knows no network"):
        SelfHosted(made).network(NET)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("certificate verify failed: unable to get local issuer certificate", "signed by nobody", "ca-file"),
        ("certificate verify failed: certificate is not yet valid", "not valid at this time", "clock"),
        ("Hostname mismatch, certificate is not valid for 'c.lab'", "for another name", "url"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS", "http://"),
    ],
)
def test_tls_errors_in_words(text: str, words: str, hint: str) -> None:
    made, _, clock = api(requests.exceptions.SSLError(text))
    with pytest.raises(ZtgateError, match=words) as caught:
        made.request("GET", "/x")
    assert hint in caught.value.hint and clock.slept == []


def test_a_server_may_not_repeat_the_token_nor_paint_the_console() -> None:
    said = {"message": f"\x1b[31mtoken {TOKEN} is\r\nnot mine"}
    made, *_ = api((400, json.dumps(said)), headers={"Authorization": f"token {Secret(TOKEN).reveal()}"})
    with pytest.raises(http.StatusError) as caught:
        made.request("GET", "/x")
    assert caught.value.message == "c.lab answered 400 to GET /x"
    assert caught.value.said == "[31mtoken … isnot mine"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://new.lab/api?session=5#top", "https://new.lab/api"),
        ("/v3/x", "https://c.lab/v3/x"),
        ("http://[", "nowhere"),
    ],
)
def test_where_a_redirection_leads(location: str, shown: str) -> None:
    made, session, _ = api((301, "", {"Location": location}))
    with pytest.raises(http.StatusError) as caught:
        made.request("GET", "/x")
    assert caught.value.message == f"c.lab sends us on to {shown} (301)" and len(session.asked) == 1


WRONG_SHAPES: list[Any] = [
    [], {}, None, 5, "x", {"id": NET, "config": {}}, {"id": "other", "config": {"mtu": 2800}, "mtu": 2800},
    *(
        {"id": NET, "config": {key: value}, key: value}
        for key, value in (
            ("routes", {}), ("routes", [5]), ("routes", [{"via": "10.0.0.1"}]), ("routes", [{"target": "x"}]),
            ("routes", [{"target": "10.0.0.0/8", "via": "x"}]), ("ipAssignmentPools", [{}]),
            ("ipAssignmentPools", "x"), ("v4AssignMode", "zt"), ("v6AssignMode", []), ("mtu", "2800"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (CentralV1, {"id": NET}),
        (CentralV1, {"id": NET, "config": []}),
        *((kind, answer) for kind in (CentralV1, SelfHosted) for answer in WRONG_SHAPES),
    ],
    ids=str,
)
def test_a_network_of_the_wrong_shape(kind: Kind, answer: Any) -> None:
    """It is never taken for one without routes, which would then be written."""
    made, *_ = api((200, json.dumps(answer)))
    with pytest.raises(ZtgateError, match="something else than a network"):
        kind(made).network(NET)


@pytest.mark.parametrize("kind", [CentralV1, SelfHosted])
@pytest.mark.parametrize(
    "answer",
    [
        5, [5], {"data": [[]]}, [{}], [{"nodeId": "x", "config": []}], {"data": [{}]},
        [{"nodeId": "x", "config": {"ipAssignments": [5]}}], {"data": [{"id": "x", "ipAssignments": ["y"]}]},
    ],
    ids=str,
)  # fmt: skip
def test_members_of_the_wrong_shape(kind: Kind, answer: Any) -> None:
    made, *_ = api((200, json.dumps(answer)))
    with pytest.raises(ZtgateError, match=r"something else than a (list of )?member"):
        kind(made).members(NET)


@pytest.mark.parametrize("kind", [CentralV1, SelfHosted])
def test_another_member_than_the_one_that_was_asked_for(kind: Kind) -> None:
    made, *_ = api((200, '{"id": "54f03b7f83", "nodeId": "54f03b7f83"}'))
    with pytest.raises(ZtgateError, match="its id is another one"):
        kind(made).member(NET, "116be780b4")


def test_central_speaks_of_config() -> None:
    member = (
        '[{"id": "116be780b4870839-54f03b7f83", "nodeId": "54f03b7f83", "name": "a",'
        ' "config": {"authorized": true, "ipAssignments": ["10.0.0.7"], "identity": "x"}}]'
    )
    made, session, *_ = api(
        (200, '{"id": "116be780b4870839", "config": {"mtu": 2800, "name": "n"}}'), (200, member), (200, "{}")
    )
    central = CentralV1(made)
    assert central.network(NET).settings == {"mtu": 2800}
    found = central.members(NET)["54f03b7f83"]
    assert (found.name, found.addresses) == ("a", ("10.0.0.7",))
    central.write_member(NET, "54f03b7f83", {"authorized": True, "name": "gw"})
    assert session.asked[-1][2]["data"] == '{"config": {"authorized": true}, "name": "gw"}'
    assert session.asked[-1][1].endswith("/network/116be780b4870839/member/54f03b7f83")


def test_until_speaks_only_of_long_waits_and_of_news() -> None:
    clock, said = FakeClock(), list[str]()
    reasons = iter(["a"] * 6 + ["b", "b", "c"])

    def check() -> None:
        reason = next(reasons, None)
        if reason:
            raise WaitingError(reason)

    until(check, seconds=60, clock=clock, say=said.append)
    assert said == ["a", "b", "c"]
    said.clear()
    reasons = iter(["a"])
    until(check, seconds=60, clock=clock, say=said.append)
    assert said == []
