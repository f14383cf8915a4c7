"""What the doctor makes of what it sees: each judgement is a table."""

import struct
import threading
import time
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any

import pytest
from ztgate.doctor import chain, members, network, packets, probes, uplink, verdict, wire, zerotier
from ztgate.doctor.patient import later
from ztgate.doctor.probes import Egress, Neighbours
from ztgate.doctor.verdict import Result, Verdict
from ztgate.errors import ZtgateError
from ztgate.zerotier import Network

from .support import NETWORK, NODE, machine

OWN4, OWN6, OTHER = "10.66.0.1", "2600:db8:0:1:ff:11:6be7:80b4", "54f03b7f83"
ULA, OTHER_ULA = "fd11:6be7:80b4:8708:3999:9311:6be7:80b4", "fd11:6be7:80b4:8708:3999:9354:f03b:7f83"
MAC, OTHER_MAC = "3a:19:ec:53:00:53", "3a:5c:77:8f:ff:64"  # of NODE and OTHER in NETWORK
JOINED = Network(
    NETWORK, "OK", "ztshpwbcen", MAC, 1390, True, True, False,
    (IPv4Interface(f"{OWN4}/24"),), (IPv6Interface(f"{ULA}/88"), IPv6Interface(f"{OWN6}/80")), (),
    (("10.66.0.0/24", ""), ("0.0.0.0/0", OWN4), ("::/0", ULA)),
)  # fmt: skip


def peer(node: str, role: str, at: str = "") -> dict[str, Any]:
    paths = [{"address": at, "active": True}] if at else []
    return {"address": node, "role": role, "latency": 12 if at else -1, "paths": paths}


DIRECT, RELAYED = peer(OTHER, "LEAF", "203.0.4.10/9993"), peer(OTHER, "LEAF")
MOON = peer("aaaaaaaaaa", "MOON", "203.0.3.10/9993")


def card(name: str, *flags: str, kind: str = "ether") -> dict[str, Any]:
    return {"ifname": name, "flags": list(flags), "link_type": kind, "addr_info": []}


UP, OUT = ("UP", "LOWER_UP"), ("UP", "NO-CARRIER")
DEFAULT = [{"dst": "default", "gateway": "203.0.1.1", "dev": "eth0"}]
ECHO = wire.Packet(True, wire.ECHO, "203.0.1.10", "9.9.9.9", payload=b"t" * 16 + probes.MARK * 2)
ASKED = Neighbours(OWN6, "fe80::1", True, True)

# A judgement, whether the link holds, and words of its evidence or of the next step.
JUDGEMENTS: list[tuple[Result, bool, str]] = [
    (uplink.judge_link([card("eth0", *UP)], DEFAULT, "", {}), True, "eth0 has a link"),
    (uplink.judge_link([card("eth0", *OUT)], [], "eth0", {}), False, "no link on eth0"),
    (uplink.judge_link([card("eth0")], [], "eth0", {}), False, "ip link set eth0 up"),
    (uplink.judge_link([card("eth0", *OUT), card("eth1", *UP)], [], "eth0", {}), True, "eth1 has a link"),
    (
        uplink.judge_link([card("ppp0", *UP, kind="ppp")], [{"dst": "default", "dev": "ppp0"}], "", {}),
        True,
        "ppp0",
    ),
    (
        uplink.judge_link([card("wlan0", *OUT)], [], "wlan0", {"wlan0": "attic refuses us"}),
        False,
        "refuses us",
    ),
    (uplink.judge_link([card("lo", kind="loopback")], [], "", {}), False, "no network card"),
    (uplink.judge_router("203.0.1.1", "eth0", True, []), True, "answers"),
    (
        uplink.judge_router("203.0.1.1", "eth0", False, [{"lladdr": "a", "state": ["STALE"]}]),
        True,
        "no pings",
    ),
    (uplink.judge_router("203.0.1.1", "eth0", False, [{"state": ["INCOMPLETE"]}]), False, "nobody on eth0"),
    (uplink.judge_router("203.0.1.1", "ppp0", False, []), True, "no pings"),
    (zerotier.judge_paths({}, []), True, "no peers yet"),
    (zerotier.judge_paths({}, [MOON, DIRECT]), True, "1 peers direct, root aaaaaaaaaa at 203.0.3.10/9993"),
    (zerotier.judge_paths({}, [MOON, RELAYED]), True, f"{OTHER} relayed"),
    (zerotier.judge_paths({"tcpFallbackActive": True}, [DIRECT]), False, "TCP relay"),
    (zerotier.judge_addresses(JOINED, OWN4), True, OWN4),
    (zerotier.judge_addresses(JOINED, "10.66.0.2"), False, "expected 10.66.0.2"),
    (
        zerotier.judge_default_routes(JOINED, (f"0.0.0.0/0 via {OWN4}", f"::/0 via {ULA}")),
        True,
        f"::/0 via {ULA}",
    ),
    (
        zerotier.judge_default_routes(JOINED, ("0.0.0.0/0 via 10.66.0.9",)),
        False,
        "missing: 0.0.0.0/0 via 10.66.0.9",
    ),
    (
        zerotier.judge_default_routes(replace(JOINED, routes=()), (f"::/0 via {ULA}",)),
        False,
        "no default route",
    ),
    (zerotier.judge_default_routes(JOINED, ()), False, "set-up has not come so far"),
    (network.judge_kernel_routes(JOINED.routes, "zt0", [{"dst": "10.66.0.0/24", "dev": "zt0"}]), True, "zt0"),
    (
        network.judge_kernel_routes(JOINED.routes, "zt0", [{"dst": "10.66.0.0/24", "dev": "eth0"}]),
        False,
        "10.66.0.0/24",
    ),
    (
        packets.judge_nat(Egress(OWN4, "eth0", "9.9.9.9", (("203.0.1.10", "9.9.9.9"),)), {"203.0.1.10"}),
        True,
        f"203.0.1.10 > 9.9.9.9 seen on eth0 for {OWN4}",
    ),
    (
        packets.judge_nat(Egress(OWN4, "eth0", "", ((OWN4, "9.9.9.9"),)), {"203.0.1.10"}),
        False,
        f"{OWN4} > 9.9.9.9 seen on eth0, should be from 203.0.1.10",
    ),
    (packets.judge_nat(Egress(OWN4, "eth0", "", ()), {"203.0.1.10"}), False, "nothing from"),
    (packets.judge_ndp(ASKED, "eth0"), True, f"fe80::1 asked for {OWN6} on eth0 and was answered"),
    (
        packets.judge_ndp(replace(ASKED, asker="", advertised=False), "eth0"),
        True,
        "the router knows where it is",
    ),
    (packets.judge_ndp(replace(ASKED, advertised=False, replied=False), "eth0"), False, "got no answer"),
    (packets.judge_ndp(replace(ASKED, replied=False), "eth0"), False, "yet no reply came"),
    (packets.judge_ndp(replace(ASKED, asker="", replied=False), "eth0"), False, "nobody on eth0 asked"),
    (packets.judge_mtu(1500, 1390), True, "1500 bytes pass on the WAN, ZeroTier sends up to 1456"),
    (packets.judge_mtu(1460, 2800), True, "up to 1460"),
    (packets.judge_mtu(1420, 1390), False, "gateway.mtu: 1354"),
    (packets.judge_mtu(1280, 1280), False, "even an MTU of 1280"),
    (members.judge([], "zt0"), True, "no member is online"),
    (members.judge([members.Candidate(OTHER, "10.66.0.7", "", "relayed")], "zt0"), False, OTHER),
]


@pytest.mark.parametrize(("judged", "ok", "words"), JUDGEMENTS, ids=lambda value: str(value)[:40])
def test_judgement(judged: Result, ok: bool, words: str) -> None:
    holds, evidence, step = judged
    assert holds is ok
    assert words in f"{evidence} / {step}"
    assert ok or step, "whoever reads it has to know what to do"


def rule(comment: str, packets: int) -> dict[str, Any]:
    return {
        "rule": {
            "comment": comment,
            "expr": [{"match": {}}, {"counter": {"packets": packets}}, {"accept": None}],
        }
    }


FAST = {"flowtable": {"table": "ztgate_fast", "name": "established", "dev": ["eth0", "ztabc"]}}
RULES = [
    {"chain": {"name": "rev_0123456789ab"}},
    rule("new IPv4", 7),
    rule("ports", 1),
    rule("ports", 2),
    rule("NAT", 0),
]


@pytest.mark.parametrize(
    ("items", "ok", "evidence"),
    [
        (RULES, True, "revision 0123456789ab; fast path off; packets: new IPv4 7, ports 3"),
        ([RULES[0], FAST], True, "revision 0123456789ab; fast path on; packets: none yet"),
        (RULES[1:], False, "other rules than gateway.yaml asks for are loaded"),
    ],
)
def test_rules_are_loaded_and_count(items: list[dict[str, Any]], ok: bool, evidence: str) -> None:
    assert network.judge_rules(items, "0123456789ab")[:2] == (ok, evidence)


def neighbour(lladdr: str, confirmed: int, *state: str) -> dict[str, Any]:
    return {"dst": "10.66.0.7", "lladdr": lladdr, "confirmed": confirmed, "state": list(state)}


ONLY4 = replace(JOINED, addresses6=())
AT4, AT6 = (OTHER, "10.66.0.7"), (OTHER, OTHER_ULA)


@pytest.mark.parametrize(
    ("joined", "peers", "rows", "found"),
    [
        (JOINED, [MOON], [], []),
        (JOINED, [MOON, DIRECT], [], [AT6]),
        (ONLY4, [MOON, DIRECT], [], []),
        (JOINED, [MOON, RELAYED], [], []),
        (ONLY4, [RELAYED], [neighbour(OTHER_MAC, 10, "STALE")], [AT4]),
        (ONLY4, [RELAYED], [neighbour(OTHER_MAC, 9000, "STALE")], []),
        (ONLY4, [DIRECT], [neighbour(OTHER_MAC, 9000, "STALE")], [AT4]),
        (JOINED, [DIRECT], [neighbour(OTHER_MAC, 10, "REACHABLE")], [AT4]),
        (ONLY4, [DIRECT], [neighbour(OTHER_MAC, 10, "FAILED")], []),
        (JOINED, [{**DIRECT, "address": NETWORK[:10]}], [], []),
    ],
)
def test_members_who_seem_to_be_there(
    joined: Network, peers: list[dict[str, Any]], rows: list[dict[str, Any]], found: list[tuple[str, str]]
) -> None:
    listed = members.candidates(joined, NODE, peers, rows)
    assert [(member.node, member.address) for member in listed] == found


def test_a_members_way_is_told() -> None:
    (member,) = members.candidates(JOINED, NODE, [DIRECT], [])
    assert member.way == "direct by 203.0.4.10/9993, 12 ms"


@pytest.mark.parametrize(
    ("path", "expected"), [(9000, 1500), (1500, 1500), (1499, 1492), (1400, 1400), (600, 576), (500, 0)]
)
def test_the_largest_size_is_found_with_few_probes(path: int, expected: int) -> None:
    tried: list[int] = []

    def passes(size: int) -> bool:
        tried.append(size)
        return size <= path

    assert probes.largest(passes) == expected
    assert len(tried) <= 5


def ipv4(kind: int, source: str, target: str, payload: bytes) -> bytes:
    ends = bytes(map(int, source.split("."))) + bytes(map(int, target.split(".")))
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 64, 1, 0)
        + ends
        + bytes([kind])
        + bytes(7)
        + payload
    )


def ipv6(kind: int, source: str, target: str, rest: bytes) -> bytes:
    ends = IPv6Address(source).packed + IPv6Address(target).packed
    return struct.pack("!IHBB", 6 << 28, 8 + len(rest), 58, 255) + ends + bytes([kind]) + bytes(7) + rest


@pytest.mark.parametrize(
    ("data", "outgoing", "expected"),
    [
        (ipv4(8, "203.0.1.10", "9.9.9.9", ECHO.payload), True, ECHO),
        (
            ipv4(0, "9.9.9.9", "203.0.1.10", b"x"),
            False,
            wire.Packet(False, wire.REPLY, "9.9.9.9", "203.0.1.10", "", b"x"),
        ),
        (ipv4(3, "9.9.9.9", "203.0.1.10", b""), False, None),
        (
            ipv6(135, "fe80::1", "ff02::1:ff00:1", IPv6Address(OWN6).packed),
            False,
            wire.Packet(False, wire.SOLICITATION, "fe80::1", "ff02::1:ff00:1", OWN6),
        ),
        (
            ipv6(136, OWN6, "fe80::1", IPv6Address(OWN6).packed),
            True,
            wire.Packet(True, wire.ADVERTISEMENT, OWN6, "fe80::1", OWN6),
        ),
        (ipv6(129, "2620:fe::fe", OWN6, b""), False, wire.Packet(False, wire.REPLY, "2620:fe::fe", OWN6)),
        (ipv6(135, "fe80::1", "ff02::1", b"short"), False, None),
        (ipv6(134, "fe80::1", "ff02::1", bytes(16)), False, None),
        (b"", True, None),
        (b"\x45\x00", True, None),
    ],
)
def test_packets_on_the_wire(data: bytes, outgoing: bool, expected: wire.Packet | None) -> None:
    assert wire.parse(data, outgoing) == expected


def test_only_our_own_departures_count() -> None:
    others = [replace(ECHO, payload=b"x"), replace(ECHO, outgoing=False), replace(ECHO, target="8.8.8.8")]
    assert probes.departures([*others, ECHO, ECHO], ("9.9.9.9", "1.1.1.1")) == (("203.0.1.10", "9.9.9.9"),)


def test_discovery_is_told_from_its_packets() -> None:
    asked = wire.Packet(False, wire.SOLICITATION, "fe80::1", "ff02::1", OWN6)
    told = wire.Packet(True, wire.ADVERTISEMENT, OWN6, "fe80::1", OWN6)
    reply = wire.Packet(False, wire.REPLY, "2620:fe::fe", OWN6)
    assert probes.discovery([asked, told, reply], OWN6) == ASKED
    about_another = replace(asked, subject="fe80::9")
    assert probes.discovery([about_another, told], OWN6) == Neighbours(OWN6, "", True, False)


def test_the_first_broken_link_is_the_headline() -> None:
    verdicts = [
        Verdict("link", True, "ens3"),
        Verdict("dns", False, "c.lab cannot be resolved", "resolvectl status"),
        Verdict("nat", False, "none", "ztgate apply"),
    ]
    shown = verdict.text(verdicts)
    assert shown.startswith("First broken link: dns: c.lab cannot be resolved\n  next: resolvectl status\n")
    assert verdict.text(verdicts[:1]).startswith("All links hold.")
    assert verdict.as_json(verdicts[:1]) == {
        "ok": True, "first": None,
        "verdicts": [{"name": "link", "ok": True, "evidence": "ens3", "next_step": ""}],
    }  # fmt: skip
    told = verdict.as_json(verdicts)
    assert (told["ok"], told["first"]) == (False, "dns")


def test_what_never_answers_is_given_up() -> None:
    with pytest.raises(ZtgateError, match="no answer within"):
        later(threading.Event().wait, time.monotonic() + 0.05)()


def test_a_machine_without_anything_gets_a_verdict_for_each_link(tmp_path: Path) -> None:
    """Nothing of it raises: whatever is missing is named."""
    verdicts = chain.examine(machine(tmp_path))
    assert [each.name for each in verdicts] == ["configuration", *(name for name, _ in chain.CHECKS)]
    broken = {each.name: each.evidence for each in verdicts if not each.ok}
    assert broken["membership"] == f"network {NETWORK} is not joined"
    assert "setting up is not finished" in broken["token"]


def test_without_a_configuration_there_is_nothing_to_examine(tmp_path: Path) -> None:
    (only,) = chain.examine(machine(tmp_path, text=""))
    assert (only.name, only.ok) == ("configuration", False)
