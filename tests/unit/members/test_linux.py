"""join.sh's functions, called by dash with programs that are pretended; tests/netns runs the whole."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, kit

Json = dict[str, Any]
NWID = "8056c2e21c000001"
PAGES = [
    (4, "203.0.113.7\n", "203.0.113.7"),
    (4, "fl=1\nh=1.1.1.1\nip=203.0.113.7\nts=1764000000.123\nuag=curl/8.14.1\n", "203.0.113.7"),
    (4, '{"address": "203.0.113.7", "port": 4711, "family": 4}', "203.0.113.7"),
    (4, "<html>Sign in to this Wi-Fi</html>", ""),
    (4, "2001:db8::7\n", ""),
    (6, "2001:DB8::7\n", "2001:db8::7"),
    (6, "h=[2606:4700:4700::1111]\nip=2001:db8:1:2:3:4:5:6\nts=12:34:56\n", "2001:db8:1:2:3:4:5:6"),
    (6, '{"ip":"2001:db8::7"}', "2001:db8::7"),
    (6, "seen at 12:34:56 from 203.0.113.7\n", ""),
    (6, "", ""),
]
WAITS: list[tuple[Json | None, bool, str]] = [
    (None, False, "zerotier-one does not answer"),
    ({"status": "REQUESTING_CONFIGURATION"}, False, "ZeroTier reaches none of its servers"),
    ({"status": "REQUESTING_CONFIGURATION"}, True, "the network's controller does not answer yet"),
    ({"status": "ACCESS_DENIED"}, True, "tell them its node id, 54f03b7f83"),
    ({"status": "NOT_FOUND"}, True, f"the controller knows no network {NWID}"),
    ({"status": "PORT_ERROR"}, True, "is /dev/net/tun there?"),
    ({"status": "CLIENT_TOO_OLD"}, True, "install a newer one"),
    ({"status": "AUTHENTICATION_REQUIRED", "authenticationURL": "https://sso/"}, True, "open https://sso/"),
    ({"status": "OK", "allowDefault": True}, True, "has not announced itself"),
    ({"status": "OK", "allowDefault": False}, True, "allowDefault was switched off"),
    ({}, True, "is /dev/net/tun there?"),
]
ROUTES = [
    {"target": "10.66.0.0/24", "via": None},
    {"target": "0.0.0.0/0", "via": "10.66.0.1"},
    {"target": "0.0.0.0/0", "via": "10.66.0.9"},
    {"target": "::/0", "via": "fd00::1"},
    {"target": "192.168.7.0/24", "via": "10.66.0.50"},
    {"target": "192.168.8.0/24", "via": "10.66.0.7"},
]
HALVES4 = ["0.0.0.0/1 10.66.0.1", "128.0.0.0/1 10.66.0.1"]
HALVES6 = ["::/1 fd00::1", "8000::/1 fd00::1"]
LAN = ["192.168.7.0/24 10.66.0.50"]


@pytest.fixture
def script() -> str:
    return kit.render("join.sh", kit.kit(config.load(f"network: {NWID}\n", "gateway.yaml")))


def call(script: str, folder: Path, function: str, **programs: str) -> str:
    """What a function of the script prints; ``programs`` are pretended ones, by name with _ for -."""
    for name, text in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    functions = script.replace('\nmain "$@"\n', f'\nPATH="{folder}:$PATH"\n{function}\n')
    done = subprocess.run(["dash", "-c", functions], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def service(network: Json | None, online: bool) -> str:
    """A zerotier-cli whose service has one network or, with {}, none; with None there is no service."""
    if network is None:
        return "exit 1"
    others: list[Json] = [{"id": "ffffffffffffffff", "status": "OK", "name": 'a "b" {c}', "routes": []}]
    ours = [{"id": NWID, **network}] if network else []
    said = {"info": {"address": "54f03b7f83", "online": online}, "listnetworks": [*others, *ours]}
    cases = "\n".join(f"{name}) cat <<'END'\n{json.dumps(said[name], indent=1)}\nEND\n;;" for name in said)
    return f"case $2 in\n{cases}\nesac"


@pytest.mark.parametrize(("family", "page", "address"), PAGES)
def test_an_address_is_found_in_any_page(
    family: int, page: str, address: str, script: str, tmp_path: Path
) -> None:
    (tmp_path / "page").write_text(page)
    assert call(script, tmp_path, f"public {family}", curl=f"cat {tmp_path}/page") == address


@pytest.mark.parametrize(("network", "online", "words"), WAITS)
def test_what_it_waits_for_is_said(
    network: Json | None, online: bool, words: str, script: str, tmp_path: Path
) -> None:
    said = call(script, tmp_path, "look; why_not", zerotier_cli=service(network, online))
    assert words in said and len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "addresses", "wanted"),
    [
        ({}, ["10.66.0.7/24", "fd00::7/88"], HALVES4 + HALVES6 + LAN),
        ({}, ["10.66.0.7/24"], HALVES4 + LAN),  # no address, no route of that family
        ({"allowDefault": False}, ["10.66.0.7/24", "fd00::7/88"], LAN),
        ({"allowGlobal": False}, ["10.66.0.7/24"], HALVES4),
    ],
)
def test_the_routes_that_the_kernel_should_have(
    settings: Json, addresses: list[str], wanted: list[str], script: str, tmp_path: Path
) -> None:
    network = {"status": "OK", "assignedAddresses": addresses, "routes": ROUTES, **settings}
    said = call(script, tmp_path, "look; wanted_routes", zerotier_cli=service(network, online=True))
    assert said.splitlines() == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--killswitch"], "unknown option --killswitch"),
        (["--wait"], "--wait needs a number of seconds, not ''"),
        (["--wait", "soon"], "--wait needs a number of seconds, not 'soon'"),
        (["--leave", "--status"], "--leave and --status do not go together"),
        (["--leave", "--kill-switch"], "--leave takes no kill switch"),
    ],
)
def test_a_wrong_command_line(words: list[str], message: str, script: str, tmp_path: Path) -> None:
    (tmp_path / "join.sh").write_text(script)
    done = subprocess.run(["dash", tmp_path / "join.sh", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {message}\nhint:  sh join.sh --help\n"
