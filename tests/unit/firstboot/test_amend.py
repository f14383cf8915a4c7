"""Writing to a network that somebody else is changing at the same time."""

from pathlib import Path
from typing import Any

import pytest
from ztgate import amend, ledger, register
from ztgate.controllers.base import Network
from ztgate.errors import ZtgateError
from ztgate.machine import Machine
from ztgate.register import DEFAULT4, Settings, Target

from .support import NETWORK, NODE, FakeController, machine

LAN = {"target": "10.66.0.0/24", "via": None}
OURS = {"target": "0.0.0.0/0", "via": "10.66.0.1"}
THEIRS = {"target": "172.16.0.0/12", "via": "10.66.0.7"}
VIAS: dict[Target, str] = {DEFAULT4: "10.66.0.1"}


class Busy(FakeController):
    """Somebody with a browser open: after our first `times` writes, its rows are saved over them."""

    def __init__(self, times: int) -> None:
        super().__init__({"routes": [LAN]})
        self.times, self.revision = times, 1

    def network(self, network: str) -> Network:
        return Network(network, super().network(network).settings, self.revision)

    def write_network(self, network: str, changes: dict[str, Any]) -> None:
        super().write_network(network, changes)
        self.revision += 1
        if self.times:
            self.times -= 1
            self.revision += 1
            self.settings["routes"] = [LAN, THEIRS]


def made(root: Path, controller: FakeController) -> Machine:
    made = machine(root, controller)
    made.controller, made.network_id = controller, NETWORK
    return made


def plan(now: Settings) -> Settings:
    return register.plan_default_routes(now, VIAS)


@pytest.mark.parametrize("times", range(amend.ATTEMPTS))
def test_both_changes_are_there_in_the_end(tmp_path: Path, times: int) -> None:
    controller = Busy(times)
    gateway = made(tmp_path, controller)
    after = amend.network(gateway, plan, "a default route")
    assert after["routes"] == [LAN, *([THEIRS] if times else []), OURS]
    assert bool(gateway.warnings) is bool(times), "who counts writes can tell"


def test_somebody_who_never_stops_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZtgateError, match="did not keep what was written: routes"):
        amend.network(made(tmp_path, Busy(99)), plan, "a default route")


def test_nothing_to_do_writes_nothing(tmp_path: Path) -> None:
    controller = Busy(0)
    gateway = made(tmp_path, controller)
    amend.network(gateway, plan, "a default route")
    revision = controller.revision
    amend.network(gateway, plan, "a default route")
    assert controller.revision == revision


def test_it_is_noted_before_it_is_written(tmp_path: Path) -> None:
    """The power may fail between the two."""
    controller = Busy(0)
    gateway = made(tmp_path, controller)

    def cut(network: str, changes: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    controller.write_network = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        amend.network(gateway, plan, "a default route")
    assert ledger.load(gateway.paths, NETWORK).added["routes"] == [OURS]


def test_a_member_is_written_until_it_reads_back(tmp_path: Path) -> None:
    controller = FakeController({})
    writes = []
    keep = controller.write_member

    def forgetful(network: str, node: str, changes: dict[str, Any]) -> None:
        writes.append(changes)
        if len(writes) > 1:
            keep(network, node, changes)

    controller.write_member = forgetful  # type: ignore[method-assign]
    after = amend.member(
        made(tmp_path, controller),
        NODE,
        lambda member: {} if member and member.settings.get("authorized") else {"authorized": True},
        "let it in",
    )
    assert after is not None and after.settings["authorized"]
    assert len(writes) == 2
