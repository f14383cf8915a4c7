"""The controller's API against recorded replies, and whom it tells what."""

import json
from typing import Any

import pytest

from lab.standin.zerotier_one_standin import identity
from tests.unit.standin.conftest import Json, Service

MEMBER = identity.generate()


def _create(service: Service, **body: Any) -> str:
    found = service.json("POST", f"/controller/network/{service.node.identity.address_text}______", body)
    return str(found["id"])


def test_a_new_network(service: Service, recorded: Json) -> None:
    expected = recorded['POST /controller/network/<ctl>______ {"name":"lab"}']
    found = service.json("GET", f"/controller/network/{_create(service, name='lab')}")
    varying = {key: found[key] for key in ("id", "nwid", "creationTime")}
    assert found == {**expected, **varying}


def test_a_member_written_before_it_joined(service: Service, recorded: Json) -> None:
    expected = recorded["POST /controller/network/<nwid>/member/<gw> before it ever joined"]
    nwid = _create(service)
    body = {"authorized": True, "name": "gw", "ipAssignments": ["10.66.0.1"]}
    found = service.json("POST", f"/controller/network/{nwid}/member/116be780b4", body)
    varying = {key: found[key] for key in ("nwid", "creationTime", "lastAuthorizedTime")}
    assert found == {**expected, **varying}
    assert service.json("GET", f"/controller/network/{nwid}/member") == {"116be780b4": 1}


@pytest.mark.parametrize("kind", ["network", "member"])
def test_one_write_after_the_other(service: Service, recorded_controller: Json, kind: str) -> None:
    nwid = _create(service)
    path = f"/controller/network/{nwid}" + ("/member/1234567890" if kind == "member" else "")
    for body, expected in recorded_controller[kind]:
        reply = service.json("POST", path, body)
        assert {key: reply[key] for key in expected} == expected, body


def test_describe(service: Service, recorded: Json) -> None:
    found = service.json("GET", "/controller")
    assert {**found, "clock": 0} == {**recorded["GET /controller"], "clock": 0}


def test_bad_json(service: Service, recorded: Json) -> None:
    path = f"/controller/network/{_create(service)}"
    for body in (b"{", b"", b"nonsense"):
        reply = service.ask("POST", path, body)
        assert reply.status == 500
        assert json.loads(reply.body).keys() == recorded["500 body on bad JSON"].keys()
        assert reply.body.startswith(
            '{"error": 500, "description": "[json.exception.parse_error.101] parse error'
        )
    reply = service.ask("POST", f"{path}/member/1234567890", {"ipAssignments": [5]})
    assert reply.status == 500
    assert "type_error" in reply.body


def test_what_is_missing(service: Service) -> None:
    nwid = _create(service)
    for path in ("116be780b4870839", "116be780b4870839/member", f"{nwid}/member/1234567890"):
        assert service.ask("GET", f"/controller/network/{path}")[:2] == (404, "")
        assert service.ask("DELETE", f"/controller/network/{path}").status == 404
    assert service.ask("POST", "/controller/network/116be780b4870839/member/1234567890", {}).status == 404
    assert service.ask("POST", "/controller/network/116be780b4______", {}).status == 400


def test_delete(service: Service) -> None:
    nwid = _create(service)
    service.json("POST", f"/controller/network/{nwid}/member/1234567890", {"authorized": True})
    assert service.json("DELETE", f"/controller/network/{nwid}/member/1234567890")["id"] == "1234567890"
    assert service.json("DELETE", f"/controller/network/{nwid}")["id"] == nwid
    assert service.json("GET", "/controller/network") == []
    assert not [*service.node.home.path.glob("controller.d/network/*.json")]


def test_lists(service: Service) -> None:
    nwid = _create(service)
    service.json("POST", f"/controller/network/{nwid}/member/1234567890", {"authorized": True})
    service.json("POST", f"/controller/network/{nwid}/member/1234567891", {})
    networks = service.json("GET", "/unstable/controller/network")
    assert networks["meta"] == {"networkCount": 1}
    assert networks["data"][0]["meta"] == {"authorizedMemberCount": 1, "totalMemberCount": 2}
    members = service.json("GET", f"/unstable/controller/network/{nwid}/member")
    assert members["meta"] == {"authorizedCount": 1, "totalCount": 2}


class Conversation:
    """A member that asks, and the messages that it is sent."""

    def __init__(self, service: Service, nwid: str) -> None:
        self.service, self.nwid = service, nwid
        self.got: list[Json] = []
        service.node.controller._send = lambda _, content: self.got.append(content)

    def ask(self, who: identity.Identity = MEMBER) -> Json:
        content = {"identity": who.public_text, "v": [1, 14, 1]}
        self.service.node.controller.request(int(self.nwid, 16), MEMBER.address, content)
        return self.got.pop()

    def write(self, **body: Any) -> list[Json]:
        """Write the member, and take what it is told of it."""
        self.service.json("POST", f"/controller/network/{self.nwid}/member/{MEMBER.address_text}", body)
        return self._take()

    def write_network(self, **body: Any) -> list[Json]:
        self.service.json("POST", f"/controller/network/{self.nwid}", body)
        return self._take()

    def _take(self) -> list[Json]:
        taken, self.got = self.got, []
        return taken


@pytest.fixture
def conversation(service: Service) -> Conversation:
    return Conversation(service, _create(service, name="lab"))


def test_who_is_told(conversation: Conversation) -> None:
    assert conversation.ask()["code"] == "denied"
    assert conversation.write(authorized=True) == []  # it was never let in: it has to ask
    assert conversation.ask()["conf"]["name"] == "lab"
    (told,) = conversation.write_network(name="new")
    assert told["conf"]["name"] == "new"
    assert conversation.write_network(name="new") == []  # nothing has changed
    assert conversation.write(authorized=False) == []  # it has to ask, too
    assert conversation.ask()["code"] == "denied"


def test_a_member_that_is_put_out_has_a_key_that_no_longer_counts(conversation: Conversation) -> None:
    conversation.write(authorized=True)
    before = conversation.ask()["conf"]["key"]
    conversation.write(authorized=False)
    conversation.write(authorized=True)
    assert conversation.ask()["conf"]["key"] != before


def test_a_node_that_is_not_who_it_was(conversation: Conversation) -> None:
    conversation.write(authorized=True)
    assert conversation.ask()["k"] == "netconf"
    assert conversation.ask(identity.generate())["code"] == "denied"


def test_a_public_network_lets_everybody_in(conversation: Conversation) -> None:
    conversation.write_network(private=False)
    assert conversation.ask()["k"] == "netconf"
    members = conversation.service.node.controller.members[int(conversation.nwid, 16)]
    assert members[MEMBER.address]["lastAuthorizedCredentialType"] == "public"
