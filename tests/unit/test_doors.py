"""One network that is in use, taken over and left again through each door of the lab's controller, over TLS.

The controller is the stand-in's, in this process; the doors are the lab's; the gateway's tools are pretended.
"""

import functools
import ipaddress
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ztgate import admit, enrol, members, report, service
from ztgate.machine import Machine
from ztgate.secret import Secret

from lab import httpd, tls
from lab.central import Central, Passthrough
from lab.central_upstream import Upstream
from lab.central_v2 import CentralV2
from lab.httpd import HttpServer
from lab.standin.zerotier_one_standin.minihttp import Request
from tests.unit.firstboot.support import (
    NETWORK,
    NODE,
    TOKEN,
    FakeClock,
    FakeController,
    FakeService,
    machine,
)
from tests.unit.standin.conftest import Service

Json = dict[str, Any]
DOORS = {"self-hosted": "", "central-v1": "/api/v1", "central-v2": "/api/v2"}
GATEWAY = "10.66.0.1"
SUBNET = "2600:db8:0:1:ff::/80"
THEIRS: Json = {"target": "0.0.0.0/0", "via": "10.66.0.99"}

# Five routes, of them a default route through somebody else, three pools, rules and what belongs to them.
USED: Json = {
    "name": "in use",
    "routes": [
        {"target": "10.66.0.0/24", "via": None},
        THEIRS,
        {"target": "192.168.77.0/24", "via": "10.66.0.50"},
        {"target": "fd77::/64", "via": None},
        {"target": "10.67.0.0/16", "via": None},
    ],
    "ipAssignmentPools": [
        {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"},
        {"ipRangeStart": "10.67.1.0", "ipRangeEnd": "10.67.1.255"},
        {"ipRangeStart": "fd77::100", "ipRangeEnd": "fd77::1ff"},
    ],
    "v4AssignMode": {"zt": True},
    "v6AssignMode": {"6plane": False, "rfc4193": False, "zt": True},
    "mtu": 2800,
    "multicastLimit": 48,
    "dns": {"domain": "home.example", "servers": ["10.66.0.53"]},
    "tags": [{"id": 1, "default": 0}],
    "capabilities": [{"id": 7, "default": False, "rules": [{"type": "ACTION_ACCEPT"}]}],
    "rules": [
        {"not": True, "or": False, "type": "MATCH_ETHERTYPE", "etherType": 2048},
        {"type": "ACTION_DROP"},
        {"type": "ACTION_ACCEPT"},
    ],
}
# Forty members: who is in, who is not, with one address, several, or none.
MEMBERS: dict[str, Json] = {
    f"{0x54F03B7F00 + number:010x}": {
        "name": f"member {number}",
        "authorized": number % 7 != 0,
        "activeBridge": number == 5,
        "noAutoAssignIps": number % 9 == 0,
        "ipAssignments": [f"10.66.0.{100 + number}", *([f"10.67.1.{number}"] if number % 4 == 0 else [])],
        "tags": [[1, number]],
        "capabilities": [7] if number % 2 else [],
    }
    for number in range(40)
}
TAKEN_OVER = [
    USED["routes"][0],
    *USED["routes"][2:],
    {"target": SUBNET, "via": None},
    {"target": "0.0.0.0/0", "via": GATEWAY},
    {"target": "::/0", "via": "fd11:6be7:80b4:8708:3999:9311:6be7:80b4"},
]


class LocalService(FakeService):
    """The gateway's own ZeroTier service, which has what the stand-in's controller says at that time."""

    def __init__(self, standin: Service) -> None:
        super().__init__(FakeController())
        self.standin = standin

    def call(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        self.controller.settings = self.standin.json("GET", f"/controller/network/{NETWORK}")
        self.controller.rows = _members(self.standin)
        return super().call(method, path, body)


def _members(standin: Service) -> dict[str, Json]:
    rows = standin.json("GET", f"/unstable/controller/network/{NETWORK}/member")["data"]
    return {row["id"]: row for row in rows}


def snapshot(standin: Service) -> bytes:
    """All that the controller keeps; a network's revision counts every write."""
    network = standin.json("GET", f"/controller/network/{NETWORK}")
    del network["revision"]
    return json.dumps([network, _members(standin)], indent=1).encode()


@pytest.fixture
def standin(tmp_path: Path) -> Service:
    made = Service(tmp_path / "standin")
    made.json("POST", f"/controller/network/{NETWORK}", deepcopy(USED))
    for node, member in MEMBERS.items():
        made.json("POST", f"/controller/network/{NETWORK}/member/{node}", deepcopy(member))
    return made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tls.Certificate:
    return tls.make(tmp_path_factory.mktemp("doors") / "tls", ["127.0.0.1"])


def _daemon(standin: Service) -> Callable[[httpd.Request], httpd.Reply]:
    """The stand-in's local API, behind a server of this process."""

    def answer(asked: httpd.Request) -> httpd.Reply:
        headers = {name.lower(): value for name, value in asked.headers.items()}
        here = ipaddress.ip_address("127.0.0.1")
        reply = standin.api.handle(Request(asked.method, asked.path, {}, headers, asked.body, here))
        return httpd.bytes_reply(reply.status, reply.body.encode(), reply.content_type)

    return answer


@contextmanager
def gateway(
    kind: str, standin: Service, certificate: tls.Certificate, root: Path, **weak: Any
) -> Iterator[Machine]:
    """A gateway that is configured for one door; `weak` takes power from its token."""
    root.mkdir()
    (root / "secret").write_text(standin.token)
    made = {"central-v1": Central, "central-v2": CentralV2}
    with HttpServer(_daemon(standin)) as daemon:
        upstream = Upstream(f"http://127.0.0.1:{daemon.port}", root / "secret")
        door = made[kind](upstream, TOKEN, **weak) if kind in made else Passthrough(upstream)
        with HttpServer(door, tls=certificate.server_context()) as server:
            text = json.dumps({
                "network": NETWORK,
                "controller": {
                    "url": f"https://127.0.0.1:{server.port}{DOORS[kind]}",
                    "token": TOKEN if kind in made else standin.token,
                    "ca-file": certificate.ca.read_text(),
                },
                "gateway": {"takeover": True},
                "dns": {"domain": "net.example.org"},
            })  # fmt: skip
            ready = machine(root / "gateway", text=text)
            ready.service.call = LocalService(standin).call  # type: ignore[method-assign]
            yield ready


def _taken_over(standin: Service, before: bytes) -> None:
    """Our additions, and nothing else."""
    (network, members), (now, rows) = json.loads(before), json.loads(snapshot(standin))
    pool = {"ipRangeStart": "2600:db8:0:1:ff::", "ipRangeEnd": "2600:db8:0:1:ff:ffff:ffff:ffff"}
    assert now == {
        **network,
        "routes": TAKEN_OVER,
        "ipAssignmentPools": [*network["ipAssignmentPools"], pool],
        "v6AssignMode": {"6plane": False, "rfc4193": True, "zt": True},
        "mtu": 1390,
        "dns": {"domain": "net.example.org", "servers": [GATEWAY, TAKEN_OVER[-1]["via"]]},
    }
    own = rows.pop(NODE)
    assert rows == members
    assert (own["authorized"], own["ipAssignments"], own["noAutoAssignIps"]) == (True, [GATEWAY], False)


@pytest.mark.parametrize("kind", DOORS)
def test_a_network_in_use(kind: str, standin: Service, certificate: tls.Certificate, tmp_path: Path) -> None:
    before = snapshot(standin)
    with gateway(kind, standin, certificate, tmp_path / "root") as made:
        assert service.apply(made, once=True) == service.READY, report.read(made)
        _taken_over(standin, before)
        again = len(made.performed)
        assert service.apply(made, once=True) == service.READY
        assert not [str(each) for each in made.performed[again:] if "controller" in str(each)]
        token = json.loads(made.paths.fat_config.read_text())["controller"]["token"]
        assert token != TOKEN, "overwritten"
        given = standin.token if kind == "self-hosted" else TOKEN
        assert service.withdraw(made, token=Secret(given)) == service.READY, report.read(made)
    assert snapshot(standin) == before


NOTHING = {letter: letter == "r" for letter in "rmad"}


@pytest.mark.parametrize(
    ("kind", "weak", "lacking"),
    [
        ("central-v1", {"rights": NOTHING}, "not change it or authorize members"),
        ("central-v1", {"rights": {**NOTHING, "m": True}}, "not authorize members"),
        ("central-v2", {"viewer": True}, "not change it"),
    ],
)
def test_a_token_that_only_reads(
    kind: str, weak: Json, lacking: str, standin: Service, certificate: tls.Certificate, tmp_path: Path
) -> None:
    before = snapshot(standin)
    revision = standin.json("GET", f"/controller/network/{NETWORK}")["revision"]
    with gateway(kind, standin, certificate, tmp_path / "root", **weak) as made:
        assert service.apply(made, once=True) == service.FAILED
        assert f"may read network {NETWORK}" in report.read(made)["reason"]
        assert report.read(made)["reason"].endswith(lacking)
    assert snapshot(standin) == before
    assert standin.json("GET", f"/controller/network/{NETWORK}")["revision"] == revision


def test_a_token_that_may_not_delete_members_does_not_begin_to_withdraw(
    standin: Service, certificate: tls.Certificate, tmp_path: Path
) -> None:
    rights = {"rights": {letter: letter != "d" for letter in "rmad"}}
    with gateway("central-v1", standin, certificate, tmp_path / "root", **rights) as made:
        assert service.apply(made, once=True) == service.READY
        before = snapshot(standin)
        assert service.withdraw(made, token=Secret(TOKEN)) == service.FAILED
        assert report.read(made)["reason"].endswith("not delete members")
    assert snapshot(standin) == before


WAITED = "54f03b7f07"  # of MEMBERS; it waits when the window opens
NEW = [f"aa00000{number:03d}" for number in range(6)]


def _authorized(standin: Service) -> set[str]:
    return {node for node, member in _members(standin).items() if member["authorized"]}


def _ask(standin: Service, node: str, *decisions: bool) -> None:
    """A node asks to be let in, and its owner decides about it."""
    path = f"/controller/network/{NETWORK}/member/{node}"
    for body in ({}, *({"authorized": decision} for decision in decisions)):
        standin.json("POST", path, body)


@pytest.mark.parametrize("kind", DOORS)
def test_a_window_lets_in_who_asks_for_the_first_time(
    kind: str, standin: Service, certificate: tls.Certificate, tmp_path: Path
) -> None:
    first, rejected, second, theirs, third, late = NEW
    # Seconds, who asks, and what its owner decides at that moment.
    events: list[tuple[int, str, tuple[bool, ...]]] = [
        (12, first, ()),
        (33, rejected, (True, False)),
        (34, WAITED, ()),
        (54, second, ()),
        (55, theirs, (True,)),
        (75, first, (False,)),
        (76, theirs, (False,)),
        (96, third, ()),
        (97, late, ()),
    ]
    before = _authorized(standin)
    with gateway(kind, standin, certificate, tmp_path / "root") as made:
        assert isinstance(made.clock, FakeClock)
        start = made.clock.now()
        for seconds, node, decisions in events:
            made.clock.at[start + seconds] = functools.partial(_ask, standin, node, *decisions)
        assert enrol.run(made, enrol.Window(600, 3, "guest"), None) == 0
        assert made.clock.now() < start + 120, "closed when it was full"
        names = {row.node: row.name for row in members.listing(made, None).members}
    assert _authorized(standin) - before == {second, third}, "the first one was put out again by its owner"
    assert before <= _authorized(standin)
    assert [names[node] for node in NEW] == ["guest-1", "", "guest-2", "", "guest-3", ""]


@pytest.mark.parametrize("kind", DOORS)
def test_one_member_in_and_out(
    kind: str, standin: Service, certificate: tls.Certificate, tmp_path: Path
) -> None:
    before, unknown = snapshot(standin), NEW[0]
    with gateway(kind, standin, certificate, tmp_path / "root") as made:
        for node in (WAITED, unknown):
            admit.authorize(made, node, "tablet", None)
            assert node in _authorized(standin)
        again = snapshot(standin)
        admit.authorize(made, WAITED, "", None)
        assert snapshot(standin) == again
        admit.deauthorize(made, WAITED, None)
        shown = {row.node: (row.state, row.name) for row in members.listing(made, None).members}
        assert shown[WAITED] == ("put out", "tablet")
        assert shown[unknown] == ("authorized", "tablet")
        assert shown["54f03b7f0e"][0] == "waiting"
        admit.authorize(made, WAITED, "", None)
        # What was decided about members is their owner's: leaving does not undo it.
        assert service.apply(made, once=True) == service.READY
        given = standin.token if kind == "self-hosted" else TOKEN
        assert service.withdraw(made, token=Secret(given)) == service.READY
    assert json.loads(snapshot(standin))[0] == json.loads(before)[0]
    assert {WAITED, unknown} <= _authorized(standin)
