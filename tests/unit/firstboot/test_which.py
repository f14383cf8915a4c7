"""controller.kind: auto, from the URL and, at the Centrals' own address, from the token."""

from pathlib import Path
from typing import Any

import pytest
from ztgate import config
from ztgate.calls import Calls
from ztgate.controllers import open, which
from ztgate.controllers.central_v1 import CentralV1
from ztgate.controllers.central_v2 import CentralV2
from ztgate.errors import WaitingError, ZtgateError
from ztgate.http import Api
from ztgate.paths import Paths

from .support import TOKEN, FakeClock
from .test_http import Reply, Session, api

NET = "network: 8056c2e21c000001\n"
V1, V2 = "https://api.zerotier.com/api/v1", "https://central.zerotier.com/api/v2"
NOBODY, SOMEBODY = (200, '{"user": null}'), (200, '{"user": {"id": "u"}}')
REFUSED, ORGS = (401, '{"message": "unauthorized"}'), (200, '{"items": [{"id": "o"}]}')


@pytest.mark.parametrize(
    ("section", "kind", "url"),
    [
        ("{}", "auto", V1),
        ("{url: 'https://api.zerotier.com/api/v1/'}", "auto", V1),
        ("{kind: central-v1}", "central-v1", V1),
        ("{kind: central-v2}", "central-v2", "https://central.zerotier.com"),
        ("{kind: central-v2, url: 'https://c.lab:8444'}", "central-v2", "https://c.lab:8444"),
        ("{url: 'https://central.zerotier.com'}", "central-v2", "https://central.zerotier.com"),
        ("{url: 'https://central.zerotier.com/'}", "central-v2", "https://central.zerotier.com"),
        ("{url: 'https://c.lab/api/v2'}", "central-v2", "https://c.lab/api/v2"),
        ("{url: 'https://c.lab/api/v1'}", "central-v1", "https://c.lab/api/v1"),
        ("{url: 'https://c.lab/zerotier'}", "self-hosted", "https://c.lab/zerotier"),
        ("{url: 'http://10.0.0.5:9993'}", "self-hosted", "http://10.0.0.5:9993"),
    ],
)
def test_the_url(section: str, kind: str, url: str) -> None:
    found = config.load(f"{NET}controller: {section}\n", "g").controller
    assert (found.kind, found.url) == (kind, url)


class Centrals:
    """Both of them, each with one answer for everything."""

    def __init__(self, v1: Reply, v2: Reply) -> None:
        self.replies = {V1: v1, V2: v2}
        self.sessions: list[Session] = []

    def reach(self, url: str, headers: dict[str, str]) -> Api:
        made, session, _ = api(self.replies[url], headers=headers)
        made.url, made.host = url, url.split("/")[2]
        self.sessions.append(session)
        return made

    @property
    def asked(self) -> list[tuple[str, str]]:
        calls = [call for session in self.sessions for call in session.asked]
        return [(url, options["headers"]["Authorization"]) for _, url, options in calls]


@pytest.mark.parametrize(
    ("v1", "v2", "kind", "calls"),
    [
        (SOMEBODY, ORGS, "central-v1", 1),
        (NOBODY, ORGS, "central-v2", 2),
        ((401, ""), ORGS, "central-v2", 2),
        ((403, ""), ORGS, "central-v2", 2),
        ((410, ""), ORGS, "central-v2", 2),
    ],
)
def test_the_token(v1: Reply, v2: Reply, kind: str, calls: int) -> None:
    both = Centrals(v1, v2)
    assert which.central(TOKEN, both.reach) == kind
    expected = [(f"{V1}/status", f"token {TOKEN}"), (f"{V2}/org", f"Bearer {TOKEN}")]
    assert both.asked == expected[:calls]


def test_a_token_that_nobody_knows() -> None:
    with pytest.raises(ZtgateError) as caught:
        which.central(TOKEN, Centrals(NOBODY, REFUSED).reach)
    assert caught.value.message == (
        "neither Central accepts the token: api.zerotier.com (no such user), "
        "central.zerotier.com (401 unauthorized)"
    )
    assert "Essential" in caught.value.hint and "controller.url" in caught.value.hint


def test_a_central_that_is_away_is_waited_for() -> None:
    with pytest.raises(WaitingError, match="has trouble") as caught:
        which.central(TOKEN, Centrals((503, ""), ORGS).reach)
    assert "controller.kind" in caught.value.hint


@pytest.mark.parametrize(
    ("v1", "made", "url"), [(SOMEBODY, CentralV1, V1), (NOBODY, CentralV2, V2)], ids=["v1", "v2"]
)
def test_it_is_asked_once_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, v1: Reply, made: Any, url: str
) -> None:
    both = Centrals(v1, ORGS)
    monkeypatch.setattr(open, "_found", {})
    monkeypatch.setattr(open, "Api", lambda url, headers, **_: both.reach(url, headers))
    settings = config.load(f"{NET}controller: {{token: {TOKEN}}}\n", "g").controller
    paths = Paths(tmp_path)
    for _ in range(2):
        found = open.open_controller(settings, paths, Calls(paths, FakeClock()))
        assert isinstance(found, made)
        assert found.api.url == url
    assert len(both.asked) == (1 if made is CentralV1 else 2)
