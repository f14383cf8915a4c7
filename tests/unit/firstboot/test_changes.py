"""What a ready gateway does when something changes: with a token, without one, by `ztgate register`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ztgate import report, service, tell
from ztgate.actions import WriteMember, WriteNetwork
from ztgate.machine import Machine
from ztgate.secret import Secret
from ztgate.steps import still_registered

from .support import GOOD, NETWORK, NODE, TOKEN, FakeController, FakeService, machine, tools

REGISTER = "`ztgate register --token-file FILE`"
KEEP = GOOD + "  token-after-setup: keep\n"
LAN, DEFAULT = {"target": "10.66.0.0/24", "via": None}, {"target": "0.0.0.0/0", "via": "10.66.0.1"}


@dataclass
class Gateway:
    """One that is ready, with what is around it."""

    machine: Machine
    controller: FakeController
    service: FakeService

    def run(self, token: str | None = None) -> dict[str, Any]:
        """A run like the timer's, or `ztgate register`; the status afterwards."""
        self.machine.performed.clear()
        service.apply(self.machine, once=True, token=Secret(token) if token else None)
        return report.read(self.machine)

    @property
    def wrote(self) -> bool:
        """Whether the last run changed something at the controller."""
        return any(isinstance(action, WriteNetwork | WriteMember) for action in self.machine.performed)

    def tools(self, old: str, new: str) -> None:
        """What `ip` shows of the WAN, from now on."""
        for name in ("links", "routes4", "routes6"):
            fake = tools(self.machine)
            setattr(fake, name, getattr(fake, name).replace(old, new))

    def routes(self, old: dict[str, Any], *new: dict[str, Any]) -> None:
        """Another row, or none, in a row's place at the controller."""
        rows = self.controller.settings["routes"]
        at = rows.index(old)
        self.controller.settings["routes"] = [*rows[:at], *new, *rows[at + 1 :]]


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Gateway]:
    def make(text: str) -> Gateway:
        controller = FakeController({"routes": [LAN], "mtu": 2800})
        monkeypatch.setattr(tell, "open_controller", lambda *_: controller)
        made = machine(tmp_path, controller, text)
        fake = made.service.call.__self__  # type: ignore[attr-defined]
        gateway = Gateway(made, controller, fake)
        assert gateway.run()["state"] == "ready"
        return gateway

    return make


@dataclass(frozen=True)
class Change:
    """kept, discarded: parts of what the status says then. asks: the controller is told something new.

    registers: `ztgate register` heals it where the token was discarded.
    """

    name: str
    happens: Callable[[Gateway], None]
    kept: tuple[str, ...]
    discarded: tuple[str, ...]
    asks: bool = True
    registers: bool = True


def _deauthorized(gateway: Gateway) -> None:
    gateway.controller.rows[NODE]["authorized"] = False


def _deleted(gateway: Gateway) -> None:
    gateway.service.deleted = True


def _address_taken(gateway: Gateway) -> None:
    gateway.controller.rows[NODE]["ipAssignments"] = ["10.66.0.9"]


CHANGES = (
    Change(
        "the WAN's /64",
        lambda gateway: gateway.tools("2600:db8:0:1:", "2600:db8:0:2:"),
        kept=('"ready"', '"subnet": "2600:db8:0:2:ff::/80"'),
        discarded=(
            '"ready"',
            "2600:db8:0:2:ff::/80 is not registered at the controller",
            f"subnet (2600:db8:0:1:ff::/80 to 2600:db8:0:2:ff::/80); {REGISTER} registers it",
        ),
    ),
    Change(
        "the WAN's IPv4 address",
        lambda gateway: gateway.tools("203.0.1.10", "203.0.1.99"),
        kept=('"ready"', '"address": "203.0.1.99"', '"warnings": []'),
        discarded=('"ready"', '"address": "203.0.1.99"', '"warnings": []'),
        asks=False,
        registers=False,
    ),
    Change(
        "the interface's name",
        lambda gateway: gateway.tools("ens3", "enp9s0"),
        kept=('"ready"', '"interface": "enp9s0"', '"warnings": []'),
        discarded=('"ready"', '"interface": "enp9s0"', '"warnings": []'),
        asks=False,
        registers=False,
    ),
    Change(
        "the WAN's range, which is the network's now",
        lambda gateway: gateway.tools(
            '[{"dst":"default"', '[{"dst":"10.66.0.0/16","dev":"ens3"},{"dst":"default"'
        ),
        kept=('"ready"', "its range 10.66.0.0/24 overlaps 10.66.0.0/16 on ens3", "another range"),
        discarded=('"ready"', "its range 10.66.0.0/24 overlaps 10.66.0.0/16 on ens3", "another range"),
        asks=False,
        registers=False,
    ),
    Change(
        "the network's LAN",
        lambda gateway: gateway.routes(LAN, {"target": "10.77.0.0/24", "via": None}),
        kept=('"ready"', '"address": "10.77.0.1"', "0.0.0.0/0 via 10.77.0.1"),
        discarded=(
            '"failed"',
            "the network has the IPv4 range 10.77.0.0/24 now: this gateway's 10.66.0.1 is outside",
            REGISTER,
        ),
    ),
    Change(
        "the network's LAN away",
        lambda gateway: gateway.routes(LAN),
        kept=('"ready"', '"address": "10.'),
        discarded=('"failed"', "the network has no IPv4 range any more", REGISTER),
    ),
    Change(
        "deauthorized",
        _deauthorized,
        kept=('"ready"', '"address": "10.66.0.1"'),
        discarded=(
            '"failed"',
            f"the controller does not let this gateway into network {NETWORK} any more",
            f"authorize it at the controller, or run {REGISTER}",
        ),
    ),
    Change(
        "the network deleted",
        _deleted,
        kept=(
            '"failed"',
            f"network {NETWORK}, which this gateway was set up for, is not at its controller",
            REGISTER,
        ),
        discarded=('"failed"', "is not at its controller any more", "restore it there", REGISTER),
        asks=False,
        registers=False,
    ),
    Change(
        "another address assigned",
        _address_taken,
        kept=('"ready"', '"address": "10.66.0.9"', "0.0.0.0/0 via 10.66.0.9"),
        discarded=('"failed"', "the controller has taken 10.66.0.1 from this gateway", REGISTER),
    ),
    Change(
        "the default route removed",
        lambda gateway: gateway.routes(DEFAULT),
        kept=('"ready"', '"warnings": []'),
        discarded=('"ready"', f"not among the network's routes: 0.0.0.0/0 via 10.66.0.1; {REGISTER}"),
    ),
    Change(
        "somebody else's default route",
        lambda gateway: gateway.routes(DEFAULT, {**DEFAULT, "via": "10.66.0.77"}),
        kept=('"failed"', "already has a default route through another gateway: 0.0.0.0/0 via 10.66.0.77"),
        discarded=('"ready"', f"not among the network's routes: 0.0.0.0/0 via 10.66.0.1; {REGISTER}"),
        asks=False,
        registers=False,
    ),
)
BY_NAME = {change.name: change for change in CHANGES}


def says(status: dict[str, Any], parts: tuple[str, ...]) -> None:
    shown = json.dumps(status)
    assert [part for part in parts if part not in shown] == [], shown


@pytest.mark.parametrize("change", CHANGES, ids=BY_NAME)
def test_with_the_token(ready: Callable[[str], Gateway], change: Change) -> None:
    gateway = ready(KEEP)
    change.happens(gateway)
    status = gateway.run()
    says(status, change.kept)
    assert gateway.wrote is change.asks
    if status["state"] == "ready":
        calls = gateway.controller.calls
        assert gateway.run() == status and not gateway.machine.performed
        assert gateway.controller.calls == calls, "it is as it should be"


@pytest.mark.parametrize("change", CHANGES, ids=BY_NAME)
def test_without_a_token(ready: Callable[[str], Gateway], change: Change) -> None:
    gateway = ready(GOOD)
    change.happens(gateway)
    calls = gateway.controller.calls
    says(gateway.run(), change.discarded)
    assert gateway.controller.calls == calls
    says(gateway.run(), change.discarded)
    told = report.text(report.read(gateway.machine))
    assert (REGISTER in told) is (REGISTER in str(change.discarded)), "people are told as well"


@pytest.mark.parametrize("change", [change for change in CHANGES if change.registers], ids=lambda c: c.name)
def test_registered_again(ready: Callable[[str], Gateway], change: Change) -> None:
    gateway = ready(GOOD)
    change.happens(gateway)
    gateway.run()
    says(gateway.run(TOKEN), change.kept)
    says(gateway.run(), change.kept)


def test_members_go_out_by_the_interface_that_there_is(ready: Callable[[str], Gateway]) -> None:
    gateway = ready(GOOD)
    BY_NAME["the interface's name"].happens(gateway)
    gateway.run()
    fake = tools(gateway.machine)
    assert 'oifname "enp9s0" ip saddr { 10.66.0.0/24 } counter masquerade' in fake.loaded
    assert b"proxy enp9s0 {" in gateway.machine.paths.ndppd_conf.read_bytes()
    assert any(
        call[:5] == ("ip", "-6", "neigh", "add", "proxy") and call[-1] == "enp9s0" for call in fake.calls
    )


def test_an_address_that_somebody_removed(ready: Callable[[str], Gateway]) -> None:
    gateway = ready(GOOD)
    fake = tools(gateway.machine)
    fake.taken = {"10.66.0.1/24"}
    assert gateway.run()["warnings"] == []
    assert [str(a) for a in gateway.machine.performed] == ["ip address replace 10.66.0.1/24 dev ztshpwbcen"]
    assert not fake.taken and gateway.run() and not gateway.machine.performed


def test_a_network_that_is_back(ready: Callable[[str], Gateway]) -> None:
    gateway = ready(GOOD)
    _deleted(gateway)
    assert gateway.run()["state"] == "failed"
    gateway.service.deleted = False
    assert gateway.run()["state"] == "ready"


def test_a_controller_that_sees_nothing_wrong_is_not_asked_for_ever(ready: Callable[[str], Gateway]) -> None:
    gateway = ready(KEEP)
    # As the service says, and a controller that has let it in long since: the two do not talk.
    others = gateway.service.network

    def denied(method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        code, data = gateway.service.call(method, path, body)
        return code, {**data, "status": "ACCESS_DENIED"} if path.startswith("/network/") else data

    gateway.machine.service.call = denied  # type: ignore[method-assign]
    before = gateway.controller.calls
    says(gateway.run(), ('"waiting"', "has authorized this gateway, but the network does not let it in yet"))
    asked = gateway.controller.calls
    assert asked > before and others()["status"] == "OK"
    gateway.run()
    assert gateway.controller.calls == asked
    gateway.machine.clock.sleep(still_registered.LATELY)
    gateway.run()
    assert gateway.controller.calls > asked


def test_register_asks_although_nothing_seems_to_have_changed(ready: Callable[[str], Gateway]) -> None:
    gateway = ready(GOOD)
    gateway.controller.settings["mtu"] = 2800
    assert gateway.run()["state"] == "ready" and not gateway.wrote
    assert gateway.run(TOKEN)["state"] == "ready"
    assert gateway.controller.settings["mtu"] == 1390


def test_a_run_takes_the_watchers_mark_away_and_a_dry_one_leaves_it(ready: Callable[[str], Gateway]) -> None:
    gateway = ready(KEEP)
    mark = gateway.machine.paths.changed
    mark.touch()
    gateway.machine.dry_run = True
    gateway.run()
    assert mark.exists()
    gateway.machine.dry_run = False
    gateway.run()
    assert not mark.exists()
