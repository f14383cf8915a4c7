"""Members let in from the gateway, which has its controller on itself, and nodes of the daemon under test."""

import json
import sys
from collections.abc import Iterator
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest
from ztgate import derive, enrol
from ztgate.paths import Paths
from ztgate.wait import SystemClock

from lab.process import Arg
from tests.netns.zerotier_world import LAN, World

ZTGATE = Path(__file__).with_name("run_ztgate.py")
FIRSTBOOT = Path(__file__).parents[2] / "firstboot"
SUBNET = IPv6Network("2600:db8:0:9:ff::/80")
NETWORK: dict[str, Any] = {
    "ipAssignmentPools": [
        {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"},
        {"ipRangeStart": str(SUBNET[0]), "ipRangeEnd": str(SUBNET[-1])},
    ],
    "v4AssignMode": {"zt": True},
    "v6AssignMode": {"rfc4193": True, "zt": True},
}
# waited asks before the window opens, late after it has closed.
NAMES = ("moon", "waited", "first", "one", "other", "late")


class Gateway:
    """The gateway, in the moon's namespace, and its network."""

    def __init__(self, world: World, root: Path) -> None:
        self.world, self.host, self.paths = world, world.hosts["moon"], Paths(root)
        self.nwid = world.create([LAN, {"target": str(SUBNET)}], **NETWORK)
        controller = {"kind": "self-hosted", "url": "http://127.0.0.1:9993", "token": world.token("moon")}
        self.paths.fat.mkdir(parents=True)
        self.paths.fat_config.write_text(json.dumps({"network": self.nwid, "controller": controller}))
        self.paths.synchronized.parent.mkdir(parents=True)
        self.paths.synchronized.touch()
        self.paths.zerotier_home.parent.mkdir(parents=True)
        self.paths.zerotier_home.symlink_to(world.nodes["moon"].home)

    def argv(self, *words: str) -> list[Arg]:
        return ["env", f"PYTHONPATH={FIRSTBOOT}", sys.executable, ZTGATE, self.paths.root, *words]

    def ztgate(self, *words: str) -> str:
        return self.host.run(*self.argv(*words))

    def node(self, name: str) -> str:
        return self.world.nodes[name].address

    def status(self, name: str) -> str:
        return str(self.world.nodes[name].api("GET", f"/network/{self.nwid}")["status"])

    def join(self, *names: str) -> None:
        for name in names:
            self.world.nodes[name].join(self.nwid, allowGlobal=True)

    def refused(self, *names: str) -> None:
        for name in names:
            self.world.wait(f"{name} refused", lambda who=name: self.status(who) == "ACCESS_DENIED")  # type: ignore[misc]

    def has_addresses(self, name: str) -> bool:
        six = derive.member_address(SUBNET, self.node(name))
        found = self.world.addresses(name, self.nwid) if self.status(name) == "OK" else set()
        return f"{six}/80" in found and any(each.startswith("10.66.0.") for each in found)


@pytest.fixture(scope="module")
def gateway(zerotier_deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    world = World(zerotier_deb, tmp_path_factory.mktemp("enrol"), NAMES)
    yield Gateway(world, tmp_path_factory.mktemp("gateway"))
    world.stop()


def test_a_window(gateway: Gateway) -> None:
    world = gateway.world
    gateway.join("waited")
    gateway.refused("waited")
    log = gateway.host.logs / "moon-enrol.log"
    window = gateway.host.start("enrol", *gateway.argv("enrol", "--for", "5m", "--count", "2"))
    world.wait("the window", lambda: "open for 5 min" in log.read_text())
    gateway.join("first")
    world.wait("its addresses", lambda: gateway.has_addresses("first"))
    shown = enrol.shown(gateway.paths, SystemClock())["enrol"]
    assert (shown["members_left"], shown["let_in"]) == (1, [gateway.node("first")])
    gateway.join("one", "other")
    world.wait("the window to close", lambda: window.poll() is not None)
    assert window.returncode == 0, log.read_text()
    assert log.read_text().splitlines()[-1].startswith("ztgate: enrol: closed, everybody is in: 2 of 2")
    assert enrol.shown(gateway.paths, SystemClock()) == {}
    world.wait("one more", lambda: any(map(gateway.has_addresses, ("one", "other"))))
    gateway.join("late")
    gateway.refused("waited", "late")
    assert sorted(map(gateway.status, ("one", "other"))) == ["ACCESS_DENIED", "OK"]


def test_members_are_listed(gateway: Gateway) -> None:
    rows = {row["node"]: row for row in json.loads(gateway.ztgate("members", "--json"))["members"]}
    first, waited = rows[gateway.node("first")], rows[gateway.node("waited")]
    assert (first["state"], first["way"], waited["state"]) == ("authorized", "direct", "waiting")
    assert str(derive.member_address(SUBNET, first["node"])) in first["addresses"]
    assert len(first["addresses"]) == 2
    text = gateway.ztgate("members")
    assert max(map(len, text.splitlines())) <= 80
    assert text.index(waited["node"]) < text.index(first["node"])


def test_one_member(gateway: Gateway) -> None:
    late = gateway.node("late")
    said = gateway.ztgate("authorize", late, "--name", "tablet")
    assert f"{late} (tablet) is let into network {gateway.nwid}" in said
    addresses = said.rpartition("its addresses: ")[2]
    assert "10.66.0." in addresses
    assert str(derive.member_address(SUBNET, late)) in addresses
    gateway.world.wait("its addresses", lambda: gateway.has_addresses("late"))
    assert "is put out of network" in gateway.ztgate("deauthorize", late)
    row = next(r for r in json.loads(gateway.ztgate("members", "--json"))["members"] if r["node"] == late)
    assert (row["state"], row["name"]) == ("put out", "tablet")
