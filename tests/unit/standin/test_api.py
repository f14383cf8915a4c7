"""The local API against recorded replies of the real daemon."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lab.standin.zerotier_one_standin import network, tap
from tests.unit.standin.conftest import Json, Service


def _kinds(value: Any) -> Any:
    """The shape of a value: keys and types."""
    if isinstance(value, dict):
        return {key: _kinds(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_kinds(value[0])] if value else []
    return type(value).__name__


def _join(service: Service, nwid: str) -> Json:
    reply: Json = service.json("POST", f"/network/{nwid}")
    service.node.paths.check_online()
    return reply


def _asked(service: Service, nwid: str) -> Json:
    """The network after the controller, which is this node, has been asked."""
    service.node.paths.online = True
    service.node.switch.networks[int(nwid, 16)].last_request = 0.0
    service.node._ask_all()
    service.work()
    reply: Json = service.json("GET", f"/network/{nwid}")
    return reply


def test_just_joined(service: Service, recorded: Json) -> None:
    expected = recorded["POST /network/<nwid> immediately (not yet known to controller)"]
    found = service.json("POST", "/network/116be780b4870839")
    assert found == {**expected, "mac": found["mac"]}


def test_denied(service: Service, recorded: Json) -> None:
    nwid = service.own_network
    service.json("POST", f"/controller/network/{nwid}", {"name": "lab"})
    _join(service, nwid)
    found = _asked(service, nwid)
    expected = {**recorded["GET /network/<nwid> ACCESS_DENIED"], "multicastSubscriptions": []}
    for key in ("id", "nwid", "mac", "portDeviceName"):
        expected[key] = found[key]
    assert found == expected


def test_admitted(service: Service, recorded: Json) -> None:
    nwid, expected = service.own_network, recorded["GET /network/<nwid> OK"]
    pools = [{"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}]
    service.json(
        "POST",
        f"/controller/network/{nwid}",
        {
            "name": "lab",
            "mtu": 1400,
            "routes": expected["routes"],
            "ipAssignmentPools": pools,
            "v4AssignMode": {"zt": True},
            "v6AssignMode": {"rfc4193": True},
            "dns": expected["dns"],
        },
    )
    member = f"/controller/network/{nwid}/member/{service.node.identity.address_text}"
    service.json("POST", member, {"authorized": True})
    _join(service, nwid)
    found = _asked(service, nwid)
    found["multicastSubscriptions"] = [each for each in found["multicastSubscriptions"] if not each["adi"]]
    assert _kinds(found) == _kinds(expected)
    same = (
        "name",
        "status",
        "type",
        "mtu",
        "broadcastEnabled",
        "routes",
        "dns",
        "allowManaged",
        "allowGlobal",
    )
    assert {key: found[key] for key in same} == {key: expected[key] for key in same}


def test_not_found(service: Service) -> None:
    nwid = f"{service.node.identity.address_text}abcdef"
    _join(service, nwid)
    assert _asked(service, nwid)["status"] == "NOT_FOUND"


def test_status_and_health(service: Service, recorded: Json) -> None:
    status = service.json("GET", "/status")
    expected = recorded["GET /status"]
    del expected["config"]["settings"]["allowSecondaryPort"]  # only there when local.conf sets it
    assert status.keys() == expected.keys()
    assert status["config"]["settings"].keys() == expected["config"]["settings"].keys()
    same = ("planetWorldId", "planetWorldTimestamp", "version", "versionMajor", "versionMinor", "versionRev")
    assert {key: status[key] for key in same} == {key: expected[key] for key in same}
    assert _kinds(service.json("GET", "/health")) == _kinds(recorded["GET /health (no token)"])


def test_local_conf_shows_in_status(service: Service) -> None:
    service.node.home.write("local.conf", '{"settings": {"portMappingEnabled": false, "mine": 5}}')
    settings = service.json("GET", "/status")["config"]["settings"]
    assert settings["portMappingEnabled"] is False
    assert settings["mine"] == 5
    service.json("POST", "/config/settings", {"mine": 6})
    assert service.json("GET", "/config")["settings"]["mine"] == 6


def test_settings_of_a_network(service: Service) -> None:
    path = "/network/116be780b4870839"
    body = {"allowGlobal": True, "allowDefault": "yes", "allowDNS": 1, "allowManaged": False}
    found = service.json("POST", path, body)
    names = ("allowManaged", "allowGlobal", "allowDefault", "allowDNS")
    assert [found[name] for name in names] == [False, True, False, False]
    again = service.json("POST", path)
    assert [again[name] for name in names] == [False, True, False, False]
    text = (service.node.home.path / "networks.d/116be780b4870839.local.conf").read_text()
    assert text == "allowManaged=0\nallowGlobal=1\nallowDefault=0\nallowDNS=0\n"


def test_leave(service: Service) -> None:
    path = "/network/116be780b4870839"
    service.json("POST", path)
    assert service.json("GET", "/network")[0]["id"] == "116be780b4870839"
    assert service.json("DELETE", path) == {"result": True}
    assert service.json("DELETE", path) == {}
    assert service.ask("GET", path)[:2] == (404, "{}")
    assert not list((service.node.home.path / "networks.d").iterdir())


def test_no_tap(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(network, "Tap", tap.Tap)
    monkeypatch.setattr(tap, "_TUN_DEVICE", str(tmp_path / "no-tun"))
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert service.ask("POST", "/network/116be780b4870839")[:2] == (200, "{}")
    assert pauses == [5.0]
    assert service.ask("GET", "/network/116be780b4870839")[:2] == (404, "{}")
    assert service.json("GET", "/network") == []
    assert (service.node.home.path / "networks.d/116be780b4870839.conf").exists()


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"x-zt1-auth": "wrong"}, "", 401),
        ({"x-zt1-auth": "TOKEN"}, "", 200),
        ({"authorization": "Bearer TOKEN"}, "", 200),
        ({"authorization": "bearer wrong"}, "", 401),
        ({}, "?auth=TOKEN", 200),
        ({"x-zt1-auth": "wrong"}, "?auth=TOKEN", 401),
        ({"authorization": "Bearer TOKEN"}, "?auth=wrong", 401),
    ],
)
def test_tokens(service: Service, headers: dict[str, str], query: str, status: int) -> None:
    shown = {name: value.replace("TOKEN", service.token) for name, value in headers.items()}
    reply = service.ask("GET", "/status" + query.replace("TOKEN", service.token), headers=shown)
    assert reply.status == status


def test_who_may_ask(service: Service) -> None:
    assert service.ask("GET", "/status", remote="::1").status == 200
    assert service.ask("GET", "/status", remote="10.66.0.9")[:2] == (401, "{}")
    assert service.ask("GET", "/health", remote="10.66.0.9").status == 401
    assert service.ask("GET", "/health", headers={}).status == 200
    assert service.ask("GET", "/metrics", remote="10.66.0.9").status == 200
    assert service.ask("GET", "/metrics", headers={}).status == 401
    service.node.home.write("local.conf", '{"settings": {"allowManagementFrom": ["10.66.0.0/24"]}}')
    assert service.ask("GET", "/status", remote="10.66.0.9").status == 200
    assert service.ask("GET", "/status", remote="10.66.0.9", headers={}).status == 401
    assert service.ask("GET", "/status", remote="10.67.0.9").status == 401


def test_unknown_addresses(service: Service) -> None:
    for method, path in (
        ("GET", "/nowhere"),
        ("GET", "/network/12"),
        ("POST", "/status"),
        ("PATCH", "/network"),
    ):
        assert service.ask(method, path)[:2] == (404, "")


def test_jsonp(service: Service) -> None:
    assert service.ask("GET", "/network?jsonp=f")[:2] == (200, "f([]);")


def test_moons(service: Service) -> None:
    assert service.json("GET", "/moon") == []
    asked = service.json("POST", "/moon/1234567890", {"seed": "1234567890"})
    assert asked["waiting"] is True
    assert service.node.waiting_moons == {0x1234567890: 0x1234567890}
    assert service.json("DELETE", "/moon/1234567890") == {"result": True}
    assert not service.node.waiting_moons


def test_a_joined_network_is_joined_again_at_the_next_start(service: Service) -> None:
    nwid = service.own_network
    service.json("POST", f"/controller/network/{nwid}", {"routes": [{"target": "10.66.0.0/24"}]})
    member = f"/controller/network/{nwid}/member/{service.node.identity.address_text}"
    service.json("POST", member, {"authorized": True, "ipAssignments": ["10.66.0.1"]})
    _join(service, nwid)
    assert _asked(service, nwid)["status"] == "OK"
    second = Service(service.node.home.path)
    assert second.node.identity == service.node.identity
    assert second.token == service.token
    second.node._join_again(int(nwid, 16))
    found = second.json("GET", f"/network/{nwid}")  # the configuration of the last run
    assert (found["status"], found["assignedAddresses"]) == ("OK", ["10.66.0.1/24"])
    assert json.loads(second.ask("GET", f"/controller/network/{nwid}").body)["id"] == nwid
