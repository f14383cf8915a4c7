"""What is noted for the page: who is in the network, what went through, and no secret."""

import socket
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest
from ztgate import alive, derive, kit, service, zerotier
from ztgate.doctor import chain
from ztgate.members import sights
from ztgate.observe import gather, hand_out, loop, members
from ztgate.observe.members import Use
from ztgate.page import facts
from ztgate.page.facts import Facts, Member
from ztgate.reconcile import reconcile

from .support import GOOD, NETWORK, NODE, TOKEN, FakeClock, FakeController, found, machine, tools

NOW = 1_790_000_000.0
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
LAPTOP, PHONE = "54f03b7f83", "bbbbbbbbbb"
GLOBAL = str(derive.member_address(SUBNET, LAPTOP))
PRIVATE = {node: str(derive.rfc4193(NETWORK, node)) for node in (LAPTOP, PHONE)}
NET = zerotier.parse_network(
    {"id": NETWORK, "status": "OK", "portDeviceName": "ztabc", "mac": "02:11:6b:e7:80:b4"}
)
MAC = "02:54:f0:3b:7f:83"  # differs from the gateway's as the nodes do
PATH = {"active": True, "expired": False, "address": "198.51.100.9/9993", "lastReceive": (NOW - 9) * 1000}
PEERS = [
    {"address": LAPTOP, "role": "LEAF", "latency": 12, "paths": [PATH]},
    {"address": PHONE, "role": "LEAF", "latency": -1, "paths": []},
    {"address": NETWORK[:10], "role": "LEAF", "paths": [PATH]},
    {"address": "aaaaaaaaaa", "role": "PLANET", "paths": [PATH]},
]
NEIGHBOURS = [
    {"dst": "10.66.0.7", "lladdr": MAC, "state": ["STALE"], "confirmed": 300},
    {"dst": "10.66.0.99", "state": ["FAILED"]},
    {"dst": "fe80::1", "lladdr": MAC, "state": ["REACHABLE"]},
]


def element(address: str, count: int, expires: float) -> dict[str, Any]:
    counter = {"packets": 1, "bytes": count}
    return {"elem": {"val": address, "timeout": 86400, "expires": expires, "counter": counter}}


# As `nft -j list table` of nftables 1.1.3 and 1.0.6 gives it.
TABLE: list[dict[str, Any]] = [
    {"metainfo": {"version": "1.1.3"}},
    {"set": {"name": "sent4", "elem": [element("10.66.0.7", 500, 86390), element("10.66.0.50", 7, 80000)]}},
    {"set": {"name": "received4", "elem": [element("10.66.0.7", 9000, 86390)]}},
    {"set": {"name": "sent6", "elem": [element(GLOBAL, 40, 86398)]}},
    {"set": {"name": "received6"}},
    {"set": {"name": "others", "elem": ["10.0.0.1"]}},
    {"chain": {"name": "input"}},
]


def merged(
    peers: Any = PEERS, neighbours: Any = NEIGHBOURS, table: Any = TABLE, subnet: IPv6Network | None = SUBNET
) -> dict[str, Member]:
    seen = sights(peers, neighbours, NET.mac, NODE, NOW)
    found_ = members.merge(NET, NODE, seen, members.uses(table, NOW), {LAPTOP: "anna"}, subnet)
    return {member.node or member.addresses[0]: member for member in found_}


def test_one_member_of_many_sources() -> None:
    expected = Member(
        LAPTOP,
        "anna",
        ("10.66.0.7", GLOBAL, PRIVATE[LAPTOP]),
        True,
        12,
        NOW - 9,
        NOW - 10,
        NOW - 2,
        540,
        9000,
    )
    found_ = merged()[LAPTOP]
    assert set(found_.addresses) == set(expected.addresses)
    assert replace(found_, addresses=expected.addresses) == expected


def test_others() -> None:
    found_ = merged()
    assert set(found_) == {LAPTOP, PHONE, "10.66.0.50"}, "neither roots nor the controller nor the gateway"
    assert found_[PHONE] == Member(PHONE, "", (PRIVATE[PHONE],))
    assert found_["10.66.0.50"].used4 == NOW - 6400


def test_a_neighbour_that_has_just_answered_is_there() -> None:
    awake = [{"dst": "10.66.0.7", "lladdr": MAC, "state": ["REACHABLE"], "confirmed": 2}]
    member = merged(neighbours=awake, peers=[])[LAPTOP]
    assert (member.heard, member.direct) == (NOW - 2, False)


def test_the_controller_is_one_if_it_is_a_neighbour() -> None:
    other = "02:11:6b:e7:80:b5"
    near = [{"dst": "10.66.0.3", "lladdr": other, "state": ["REACHABLE"]}]
    assert "116be780b5" in merged(neighbours=near, peers=[])


def test_without_counters_and_ipv6() -> None:
    assert merged(table=[], subnet=None)[LAPTOP].sent == 0
    assert members.uses([], NOW)["sent4"] == {}
    assert members.uses(TABLE, NOW)["sent4"]["10.66.0.7"] == Use(500, NOW - 10)


@pytest.mark.parametrize(
    ("surface", "source", "wan", "expected"),
    [
        (["8.8.4.4/9993", "2600::1/9993"], "", "192.168.1.2", "8.8.4.4"),
        (["8.8.4.4/9993", "8.8.4.4/1024", "9.9.9.9/9993"], "", "192.168.1.2", "8.8.4.4"),
        (["203.0.1.10/9993"], "", "203.0.1.10", "203.0.1.10"),
        ([], "", "192.168.1.2", ""),
        ([], "", "8.8.4.4", "8.8.4.4"),
        ([], "", "", ""),
        (["8.8.4.4/9993"], "8.8.8.8", "8.8.4.4", "8.8.8.8"),
        (["8.8.4.4/9993"], "192.168.1.77", "192.168.1.2", "8.8.4.4"),
    ],
)
def test_whom_the_internet_sees(surface: list[str], source: str, wan: str, expected: str) -> None:
    status = {"config": {"settings": {"surfaceAddresses": surface}}}
    assert gather.public_ipv4(status, source, wan) == expected


def test_names_that_the_controller_told(tmp_path: Path) -> None:
    made = machine(tmp_path)
    assert gather.names(made) == {}
    made.paths.members.parent.mkdir(parents=True, exist_ok=True)
    made.paths.members.write_text('{"54f03b7f83": ["anna", "10.66.0.7"], "bbbbbbbbbb": []}')
    assert gather.names(made) == {LAPTOP: "anna"}


def test_names_of_the_page_itself() -> None:
    assert gather.hosts("Home", NODE, "zt.home.arpa") == ("home.zt.home.arpa", f"{NODE}.zt.home.arpa")
    assert gather.hosts("Home", NODE, "") == ()


def test_rates() -> None:
    before = Facts(at=NOW, interfaces={"members": (1000, 2000)})
    after = Facts(at=NOW + 10, interfaces={"members": (1500, 4000)})
    assert (loop.with_rates(after, before).up, loop.with_rates(after, before).down) == (50.0, 200.0)
    for one, other in ((after, None), (before, after), (before, before), (Facts(at=NOW), before)):
        assert loop.with_rates(one, other).up is None


class Enough(Exception):
    pass


def test_a_look_at_a_gateway_that_is_ready(
    tmp_path: Path, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(tmp_path, controller, GOOD + "  token-after-setup: keep\n")
    service.apply(made, once=True)
    reconcile(made, found(made))
    said: list[str] = []
    monkeypatch.setattr(loop, "tell_systemd", said.append)
    monkeypatch.setattr(chain, "examine", lambda _: [])
    monkeypatch.setattr(type(made.service), "metrics", lambda _: "zt_num_networks 1\n")
    clock = FakeClock()
    made.clock = clock

    def enough() -> None:
        raise Enough

    clock.at[clock.time + 75] = enough
    with pytest.raises(Enough):
        loop.run(made, lambda: NOW)
    seen = facts.facts(made.paths.page_dir)
    assert (seen.name, seen.network, seen.page) == ("ztgate", NETWORK, "http://10.66.0.1/")
    assert seen.status["state"] == "ready" and seen.last_run > 0
    assert LAPTOP in {member.node for member in seen.members}
    assert said == ["READY=1"] and clock.slept[:2] == [loop.FIRST, loop.PAUSE]
    assert (made.paths.page_dir / facts.ZEROTIER).read_text() == "zt_num_networks 1\n"
    assert facts.examination(made.paths.page_dir).at == NOW
    for path in made.paths.page_dir.rglob("*"):
        assert path.is_dir() or TOKEN not in path.read_text()


@pytest.mark.parametrize("text", ["", "network: nonsense\n"])
def test_without_a_configuration_there_is_a_status(tmp_path: Path, text: str) -> None:
    made = machine(tmp_path, text=text)
    service.apply(made, once=True)
    seen = gather.facts(made, NOW)
    assert seen.status["state"] in ("waiting", "failed") and seen.members == ()


def test_what_does_not_answer_is_left_out(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    reconcile(made, found(made))
    made.service = zerotier.Service(made.paths)  # there is no daemon
    tools(made).links = "nonsense"
    seen = gather.facts(made, NOW)
    assert seen.name == "ztgate" and seen.members == () and gather.zerotier_metrics(made) == ""


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        alive.tell_systemd("READY=1")
        assert listening.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    alive.tell_systemd("READY=1")


def test_who_looks_is_handed_everything_and_it_is_made_once(
    tmp_path: Path, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(tmp_path, controller, GOOD)
    hand_out.write(made)
    assert not made.paths.page_dir.exists(), "it has no address yet"
    reconcile(made, found(made))
    hand_out.write(made)
    folder = made.paths.page_dir
    assert {path.name for path in (folder / facts.KIT).iterdir()} == set(kit.FILES)
    assert "http://10.66.0.1/" in (folder / facts.KIT / "phones.txt").read_text()
    assert (folder / facts.QR).read_text().startswith("<svg")
    with monkeypatch.context() as nothing:
        nothing.setattr(hand_out, "files", lambda *_: pytest.fail("nothing has changed"))
        hand_out.write(made)
    made.paths.fat_config.write_text(
        made.paths.fat_config.read_text() + "members: {check-ipv4: http://a.example/}\n"
    )
    before = (folder / facts.KIT / "join.sh").read_text()
    hand_out.write(made)
    assert (folder / facts.KIT / "join.sh").read_text() != before
