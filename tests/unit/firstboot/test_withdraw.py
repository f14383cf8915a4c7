"""A gateway that leaves: the network is as it was, and the timer does not bring the gateway back."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ztgate import report, service, tell
from ztgate.machine import Machine
from ztgate.secret import Secret

from .support import GOOD, NODE, TOKEN, FakeController, machine

# A network that is in use, with somebody else as its gateway.
USED: dict[str, Any] = {
    "routes": [
        {"target": "0.0.0.0/0", "via": "10.66.0.99"},
        {"target": "10.66.0.0/24", "via": None},
        {"target": "192.168.77.0/24", "via": "10.66.0.50"},
    ],
    "ipAssignmentPools": [{"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}],
    "v4AssignMode": {"zt": True},
    "v6AssignMode": {"6plane": False, "rfc4193": False, "zt": False},
    "mtu": 2800,
}
PHONE = {"authorized": True, "name": "phone", "ipAssignments": ["10.66.0.101"]}
TAKEOVER = GOOD + "gateway: {takeover: true}\n"


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> FakeController:
    made = FakeController(deepcopy(USED))
    made.rows["54f03b7f83"] = deepcopy(PHONE)
    monkeypatch.setattr(tell, "open_controller", lambda *_: made)
    monkeypatch.setattr(service, "open_controller", lambda *_: made)
    return made


@pytest.fixture
def made(tmp_path: Path, controller: FakeController) -> Machine:
    """A gateway at work; the phone has an address of its /80 by now."""
    made = machine(tmp_path, controller, text=TAKEOVER)
    assert service.apply(made, once=True) == service.READY
    controller.rows["54f03b7f83"]["ipAssignments"].append("2600:db8:0:1:ff:54:f03b:7f83")
    return made


def test_the_network_is_as_it_was(made: Machine, controller: FakeController) -> None:
    assert controller.settings != USED
    assert service.withdraw(made, token=Secret(TOKEN)) == service.READY
    assert controller.settings == USED
    assert controller.rows == {"54f03b7f83": PHONE}


def test_default_routes_go_before_ranges(made: Machine, controller: FakeController) -> None:
    seen = []
    keep = controller.write_network

    def watched(network: str, changes: dict[str, Any]) -> None:
        keep(network, changes)
        seen.append([row["target"] for row in controller.settings["routes"]])

    controller.write_network = watched  # type: ignore[method-assign]
    service.withdraw(made, token=Secret(TOKEN))
    first, *_, last = seen
    assert "::/0" not in first and "0.0.0.0/0" not in first
    assert "2600:db8:0:1:ff::/80" in first, "members still have addresses of it"
    assert last[0] == "0.0.0.0/0", "what made way is back, in its place"


def test_a_member_that_was_there_before_stays(tmp_path: Path, controller: FakeController) -> None:
    controller.rows[NODE] = {"authorized": False, "name": "to be", "ipAssignments": []}
    made = machine(tmp_path, controller, text=TAKEOVER)
    service.apply(made, once=True)
    assert controller.rows[NODE]["authorized"]
    service.withdraw(made, token=Secret(TOKEN))
    assert controller.rows[NODE] | {"noAutoAssignIps": False} == {
        "authorized": False, "name": "to be", "ipAssignments": [], "noAutoAssignIps": False,
    }  # fmt: skip


def test_it_stays_away_until_it_is_registered(made: Machine, controller: FakeController) -> None:
    service.withdraw(made, token=Secret(TOKEN))
    calls = controller.calls
    assert service.apply(made, once=True) == service.READY
    assert controller.calls == calls
    assert report.read(made)["state"] == "withdrawn"
    assert service.apply(made, once=True, token=Secret(TOKEN)) == service.READY
    assert report.read(made)["state"] == "ready"
    assert NODE in controller.rows


def test_a_dry_run_shows_and_changes_nothing(made: Machine, controller: FakeController) -> None:
    before = deepcopy((controller.settings, controller.rows))
    dry = Machine(made.paths, dry_run=True, clock=made.clock, probe=made.probe)
    dry.service.call = made.service.call  # type: ignore[method-assign]
    assert service.withdraw(dry, token=Secret(TOKEN)) == service.READY
    assert any("delete member" in str(action) for action in dry.performed)
    assert (controller.settings, controller.rows) == before


def test_without_a_token_it_says_where_to_put_one(made: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert service.withdraw(made) == service.FAILED
    assert "no token" in report.read(made)["reason"]
