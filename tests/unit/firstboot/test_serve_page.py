"""The page's socket: where it listens, when it moves, and that a second run plans nothing."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from ztgate.paths import Paths
from ztgate.reconcile import reconcile
from ztgate.steps import serve_page
from ztgate.steps.serve_page import SERVICE, SOCKET, Now

from .support import GOOD, FakeController, found, machine, tools

OWN6 = "fd11:6be7:80b4:8708:3999:9311:6be7:80b4"
PATHS = Paths(Path("/nowhere"))
OLD, NEW = "[Socket]\nListenStream=10.66.0.1:80\n", "[Socket]\nListenStream=10.66.0.2:80\n"
WRITE = f"write {PATHS.page_socket}"
RELOAD, START = "systemctl daemon-reload", f"systemctl --no-block start {SOCKET}"
STOP = f"systemctl stop {SOCKET} {SERVICE}"

PLANS: dict[str, tuple[Now, str, list[str]]] = {
    "first of all": (Now("", False), NEW, [WRITE, START]),
    "as it should be": (Now(NEW, True), NEW, []),
    "it stopped": (Now(NEW, False), NEW, [START]),
    "it listens elsewhere": (Now(OLD, True), NEW, [WRITE, RELOAD, STOP, START]),
}


@pytest.mark.parametrize("name", PLANS)
def test_plan(name: str) -> None:
    now, wanted, expected = PLANS[name]
    assert [str(action) for action in serve_page.plan(wanted, now, PATHS)] == expected


def test_it_listens_on_the_gateways_own_addresses_and_interface_only() -> None:
    text = serve_page.drop_in("ztabc", "7", (IPv4Address("10.66.0.1"), IPv6Address("fd00::1")))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        "[Socket]",
        "BindToDevice=ztabc",
        "ListenStream=10.66.0.1:80",
        "ListenStream=[fd00::1]:80",
    ]
    assert text != serve_page.drop_in("ztabc", "8", (IPv4Address("10.66.0.1"), IPv6Address("fd00::1")))


def go(tmp_path: Path, controller: FakeController, text: str = GOOD) -> Any:
    made = machine(tmp_path, controller, text)
    reconcile(made, found(made))
    return made


def test_a_run_serves_it_and_a_second_does_nothing(tmp_path: Path, controller: FakeController) -> None:
    made = go(tmp_path, controller)
    socket = made.paths.page_socket.read_text()
    assert "ListenStream=10.66.0.1:80" in socket and f"ListenStream=[{OWN6}]:80" in socket
    assert "2600:" not in socket, "not on the address that the internet could route here"
    assert 'iifname "ztshpwbcen" tcp dport 80 accept' in tools(made).loaded
    made.performed.clear()
    reconcile(made, found(made))
    assert made.performed == []


def test_off_leaves_all_of_it_out(tmp_path: Path, controller: FakeController) -> None:
    made = go(tmp_path, controller, GOOD + "page: off\n")
    assert not made.paths.page_socket.exists() and not made.paths.page_dir.exists()
    assert "dport 80" not in tools(made).loaded and "sent4" not in tools(made).loaded


def test_switched_off_later_it_goes(tmp_path: Path, controller: FakeController) -> None:
    made = go(tmp_path, controller)
    made.paths.fat_config.write_text(made.paths.fat_config.read_text() + "page: off\n")
    reconcile(made, found(made))
    assert ("systemctl", "stop", SOCKET, SERVICE) in tools(made).calls
    assert not made.paths.page_socket.exists()
