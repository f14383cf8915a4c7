"""ztgate is killed before each of its actions: nothing is forwarded without rules; another run ends it."""

from pathlib import Path

import pytest
from ztgate import report, service, tell
from ztgate.actions import Action
from ztgate.machine import Machine

from .support import FakeController, FakeTools, machine

FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


class Killed(BaseException):
    """Nothing that ztgate could catch."""


def fresh(root: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    controller = FakeController({"routes": [{"target": "10.66.0.0/24", "via": None}], "mtu": 2800})
    monkeypatch.setattr(tell, "open_controller", lambda *_: controller)
    made = machine(root, controller)
    for key in FORWARDING:
        (made.paths.sysctl / key).parent.mkdir(parents=True, exist_ok=True)
        (made.paths.sysctl / key).write_text("0")
    return made


def forwards(made: Machine) -> bool:
    return any((made.paths.sysctl / key).read_text() != "0" for key in FORWARDING)


def rules(made: Machine) -> str:
    assert isinstance(made.probe, FakeTools)
    return made.probe.loaded


def kill_before(made: Machine, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether it was killed before it had done so many actions."""
    perform, left = made._perform, [number]

    def doomed(action: Action) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        perform(action)

    monkeypatch.setattr(made, "_perform", doomed)
    try:
        assert service.apply(made, once=True) == service.READY, report.read(made)
    except Killed:
        return True
    finally:
        monkeypatch.setattr(made, "_perform", perform)
    return False


def test_killed_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fresh(tmp_path / "whole", monkeypatch)
    assert service.apply(whole, once=True) == service.READY, report.read(whole)
    assert forwards(whole)
    number = 0
    while kill_before(made := fresh(tmp_path / str(number), monkeypatch), number, monkeypatch):
        assert rules(made) or not forwards(made), f"after {number} actions"
        assert service.apply(made, once=True) == service.READY, f"after {number} actions: {report.read(made)}"
        assert rules(made) == rules(whole)
        number += 1
    assert number == len(whole.performed) > 10
