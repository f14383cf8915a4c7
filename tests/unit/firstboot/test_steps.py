"""Plans of single steps: facts and wishes in, actions out."""

import base64
import json
from dataclasses import asdict
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, firewall, sysctl, zerotier
from ztgate.actions import Command, Overwrite, Remove, SetSysctl, WriteFile
from ztgate.config import Ssh, ZeroTier
from ztgate.errors import WaitingError, ZtgateError
from ztgate.facts.time import Time
from ztgate.paths import Paths
from ztgate.steps import (
    join_network,
    prove,
    proxy_ndp,
    ssh_keys,
    start_zerotier,
    take_identity,
    track_connections,
    uplink,
)

PATHS = Paths(Path("/r"))
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
MOON = bytes([127]) + bytes.fromhex("0000001234567890") + b"\1" * 200
OK: dict[str, Any] = {
    "id": "116be780b4870839",
    "status": "OK",
    "portDeviceName": "ztshpwbcen",
    "mtu": 1400,
    "allowManaged": True,
    "allowGlobal": True,
    "allowDefault": False,
    "assignedAddresses": ["fd11::1/88", "2600:db8:0:1:ff:54:f03b:7f83/80", "10.66.0.107/24"],
    "routes": [
        {"target": "10.66.0.0/24", "via": None},
        {"target": "2600:db8:0:1:ff::/80", "via": None},
        {"target": "0.0.0.0/0", "via": "10.66.0.1"},
    ],
}


@pytest.mark.parametrize(
    ("sync", "rtc", "now", "usable", "words"),
    [
        (True, False, 0.0, True, "by NTP"),
        (False, False, 9e9, False, "waiting for a time server"),
        (False, True, 2000.0, True, "later than the image"),
        (False, True, 500.0, False, "behind the image"),
    ],
)
def test_clock(sync: bool, rtc: bool, now: float, usable: bool, words: str) -> None:
    verdict = Time(sync, rtc, now, built=1000.0).verdict
    assert verdict[0] is usable and words in verdict[1]


def test_ssh_keys() -> None:
    ssh = Ssh(("ssh-ed25519 A me", "ssh-ed25519 B you"), "members")
    (action,) = ssh_keys.plan(ssh, None, PATHS)
    assert isinstance(action, WriteFile)
    assert (action.content, action.mode) == (b"ssh-ed25519 A me\nssh-ed25519 B you\n", 0o600)
    assert ssh_keys.plan(ssh, action.content, PATHS) == []
    assert ssh_keys.plan(Ssh((), "off"), None, PATHS) == [], "no keys, no file"


LINK_STATE = """\
ADMIN_STATE=configured
NETWORK_FILE=/etc/systemd/network/10-cloud-init-ens3.network
NETWORK_FILE_DROPINS="/etc/systemd/network/10-cloud-init-ens3.network.d/a.conf:/run/x.conf"
"""


def test_network_file() -> None:
    assert [path.name for path in uplink.network_file(LINK_STATE)] == [
        "10-cloud-init-ens3.network",
        "a.conf",
        "x.conf",
    ]
    assert uplink.network_file("ADMIN_STATE=unmanaged\n") == ()


def test_router_advertisements() -> None:
    file = Path("/etc/systemd/network/10-x.network")
    write, reload = uplink.plan_router_advertisements(file, uplink.undecided([]), "0", "ens3", PATHS)
    assert isinstance(write, WriteFile) and isinstance(reload, Command)
    assert str(write.path) == "/r/run/systemd/network/10-x.network.d/60-ztgate.conf"
    assert uplink.undecided([write.content.decode()]) == ""
    assert reload.argv == ("networkctl", "reload")
    assert uplink.plan_router_advertisements(file, "", "0", "ens3", PATHS) == []
    # Without networkd the kernel listens itself.
    (kernel,) = uplink.plan_router_advertisements(None, "", "1", "ens3", PATHS)
    assert isinstance(kernel, SetSysctl) and (kernel.key, kernel.value) == (
        "net/ipv6/conf/ens3/accept_ra",
        "2",
    )
    assert uplink.plan_router_advertisements(None, "", "0", "ens3", PATHS) == []


def test_what_somebody_has_decided_stays() -> None:
    assert uplink.undecided(["[Network]\nIPv6AcceptRA=true\n"]) == "[IPv6AcceptRA]\nDHCPv6Client=always\n"
    assert uplink.undecided(["[Network]\nIPv6AcceptRA = no\n"]) == "", "then nothing is listened to"
    assert uplink.undecided(["[IPv6AcceptRA]\nDHCPv6Client=no\n"]) == "[Network]\nIPv6AcceptRA=yes\n"
    assert uplink.undecided(["[Network]\nIPv6AcceptRA=yes\n", " DHCPv6Client=no"]) == ""


def test_sysctls() -> None:
    wanted = {"a": "1", "b": "0", "c": "1"}
    assert [str(a) for a in sysctl.plan(wanted, {"a": "0", "b": "0", "c": None}, "x")] == ["sysctl a=1"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MOON, "1234567890"),
        (json.dumps({"id": "000000deadbeef00", "worldType": "moon"}).encode(), "deadbeef00"),
        (b"\1" + MOON[1:], None),
        (b"hello", None),
        (b"[1]", None),
    ],
)
def test_moon_id(content: bytes, expected: str | None) -> None:
    assert start_zerotier.moon_id(content) == expected


def test_root_files() -> None:
    text = base64.b64encode(MOON).decode()
    files = start_zerotier.root_files(ZeroTier((text, "deadbeef00"), base64.b64encode(b"planet").decode()))
    assert files == {"moons.d/0000001234567890.moon": MOON, "planet": b"planet"}
    with pytest.raises(ZtgateError, match=r"moons\[0\]"):
        start_zerotier.root_files(ZeroTier((base64.b64encode(b"x" * 30).decode(),), None))


def test_zerotier_is_restarted_only_for_new_files() -> None:
    home = Path("/h")
    files = {"moons.d/0000001234567890.moon": MOON}
    first = start_zerotier.plan_files(files, set(), {}, home)
    assert [str(action) for action in first] == [
        "write /h/moons.d/0000001234567890.moon",
        "write /h/local.conf",
        "systemctl restart zerotier-one.service",
    ]
    written = {name: start_zerotier._digest(content) for name, content in files.items()}
    present = {*files, "local.conf"}
    assert start_zerotier.plan_files(files, present, written, home) == []
    assert start_zerotier.plan_files(files, {"local.conf"}, written, home), "it is gone"
    assert start_zerotier.plan_files(files, present, {}, home), "configured anew"


def test_orbits() -> None:
    (call,) = start_zerotier.plan_orbits(ZeroTier(("deadbeef00", "DEADBEEF01"), None), ("deadbeef00",))
    assert str(call).startswith("zerotier-one POST /moon/deadbeef01")


def test_join() -> None:
    network = zerotier.parse_network(OK)
    assert (network.interface, [str(n) for n in network.lan4]) == ("ztshpwbcen", ["10.66.0.0/24"])
    assert [str(a.ip) for a in zerotier.in_range(network, SUBNET)] == ["2600:db8:0:1:ff:54:f03b:7f83"]
    assert len(join_network.plan("n", None)) == 1
    assert join_network.plan("n", network) == []
    assert len(join_network.plan("n", zerotier.parse_network(OK | {"allowDefault": True}))) == 1
    assert join_network.check("n", network, IPv4Address("10.66.0.107")) is network


def test_the_network_of_before_is_left() -> None:
    (leave,) = join_network.plan_leaving("new", "old", True)
    assert str(leave).startswith("zerotier-one DELETE /network/old")
    assert join_network.plan_leaving("new", "new", True) == join_network.plan_leaving("new", "", False) == []


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"status": "REQUESTING_CONFIGURATION"}, WaitingError, "has not answered yet"),
        ({"status": "ACCESS_DENIED"}, WaitingError, "does not let it in yet"),
        ({"assignedAddresses": []}, WaitingError, "has not arrived yet"),
        ({"status": "NOT_FOUND"}, ZtgateError, "knows no network 116"),
        ({"status": "PORT_ERROR"}, ZtgateError, "network device"),
    ],
)
def test_not_joined_yet(change: dict[str, Any], error: type[ZtgateError], words: str) -> None:
    network = zerotier.parse_network(OK | change)
    with pytest.raises(error, match=words):
        join_network.check("116be780b4870839", network, IPv4Address("10.66.0.107"))


def test_a_join_without_tap_device() -> None:
    """ZeroTier 1.14.1 answers 200 and then knows nothing of it."""
    with pytest.raises(ZtgateError, match="no tap device"):
        join_network.check("116be780b4870839", None, IPv4Address("10.66.0.107"))


def test_proxies() -> None:
    known = proxy_ndp.known_members(SUBNET, ("54f03b7f83",), [SUBNET[7], IPv6Address("fe80::1")])
    assert known == {IPv6Address("2600:db8:0:1:ff:54:f03b:7f83"), SUBNET[7]}
    present = {(SUBNET[7], "ens3"), (IPv6Address("2600::1"), "ens3"), (SUBNET[9], "eth9")}
    plan = [str(action) for action in proxy_ndp.plan_proxies(known, present, "ens3", SUBNET)]
    assert plan == [
        "ip -6 neigh add proxy 2600:db8:0:1:ff:54:f03b:7f83 dev ens3",
        "ip -6 neigh del proxy 2600::1 dev ens3",
    ]


def test_answering_for_nobody() -> None:
    present = {(SUBNET[7], "ens3"), (SUBNET[9], "eth9")}
    assert [str(action) for action in proxy_ndp.plan_stop(present, ("ens3", "wlan0"), active=True)] == [
        "ip -6 neigh del proxy 2600:db8:0:1:ff::7 dev ens3",
        "systemctl stop ztgate-ndppd.service",
    ]
    assert proxy_ndp.plan_stop(set(), ("ens3",), active=False) == []


def test_neighbours() -> None:
    rows: list[dict[str, Any]] = [
        {"dst": "fe80::1", "lladdr": "00:00:00:00:00:01", "state": ["STALE"]},
        {"dst": "fe80::2", "state": ["FAILED"]},
    ]
    assert proxy_ndp.parse_neighbours(rows) == [IPv6Address("fe80::1")]


@pytest.mark.parametrize(
    ("mib", "most", "buckets", "wanted"),
    [
        (512, "4096", "4096", ("87381", "43690")),
        (512, "100000", "4096", (None, "43690")),
        (512, None, None, (None, None)),
        (65536, "262144", "262144", ("1048576", "524288")),
    ],
)
def test_room_for_connections(
    mib: int, most: str | None, buckets: str | None, wanted: tuple[str | None, str | None]
) -> None:
    keys = (track_connections.MOST, track_connections.BUCKETS)
    planned = track_connections.plan(mib << 20, dict(zip(keys, (most, buckets), strict=True)))
    expected = [(key, value) for key, value in zip(keys, wanted, strict=True) if value]
    assert [(action.key, action.value) for action in planned if isinstance(action, SetSysctl)] == expected


def test_whom_to_ping() -> None:
    assert prove.targets(4, ["203.0.3.10", "203.0.3.11"]) == ["203.0.3.10", "9.9.9.9", "1.1.1.1"]
    assert prove.targets(6, []) == ["2620:fe::fe", "2606:4700:4700::1111"]


NET = "network: 116be780b4870839\n"


def text(yaml: str, **changes: Any) -> str:
    known = {"zt": "ztx", "wan": "ens3", "wan6": "ens3", "lan4": ("10.66.0.0/24",), "subnet": str(SUBNET)}
    situation = firewall.Situation(**(known | changes))
    return firewall.render(firewall.inputs(config.load(NET + yaml, "g"), situation))


@pytest.mark.parametrize(
    ("yaml", "holds", "lacks"),
    [
        ("", 'oifname "ens3" ip saddr { 10.66.0.0/24 } counter masquerade', "snat"),
        ("ipv4: {mode: snat, source: 198.51.100.17}", "snat ip to 198.51.100.17", "masquerade"),
        ("", 'iifname "ztx" tcp dport 22 accept', "dport 22-22"),
        ("ssh: {from: off}", "udp dport { 9993 } accept", "dport 22"),
        ("ssh: {from: wan}", "\t\ttcp dport 22 accept", 'iifname "ztx" tcp dport 22'),
        (
            "firewall: {allow: [udp/5000-5010]}",
            f"{SUBNET} udp dport 5000-5010 counter goto judged",
            "tcp dport 50",
        ),
        ("dns: {domain: a.b}", 'iifname "ztx" udp dport 53 accept', 'iifname "ens3" udp dport 53'),
        ("dns: off", "tcp dport 9993 drop", "dport 53 "),
        ("firewall: {inbound: open}", f'oifname "ztx" ip6 daddr {SUBNET} counter goto judged', "x y"),
    ],
)
def test_firewall_text(yaml: str, holds: str, lacks: str) -> None:
    assert holds in text(yaml) and lacks not in text(yaml)


def test_allowed_ports_come_before_the_stateful_rule() -> None:
    forward = text("firewall: {allow: [tcp/22]}").split("chain forward")[1]
    assert forward.index("dport 22-22") < forward.index("ct state established")


def test_firewall_before_anything_is_known() -> None:
    early = firewall.render(firewall.inputs(config.load(NET, "g"), firewall.Situation()))
    assert 'iifname "zt*" tcp dport 22 accept' in early and "masquerade" not in early
    policies = [line.split()[-1] for line in early.splitlines() if " hook " in line]
    assert policies == ["accept;", "drop;", "drop;", "accept;", "accept;", "accept;"], (
        "input and forward let nothing pass"
    )


def test_revision_follows_inputs_and_survives_json() -> None:
    read = config.load(NET, "g")
    situation = firewall.Situation(lan4=("10.0.0.0/24",), ports=(9993, 29994))
    again = firewall.remembered(json.loads(json.dumps(asdict(situation))))
    assert again == situation
    assert firewall.revision(firewall.inputs(read, again)) == firewall.revision(
        firewall.inputs(read, situation)
    )
    other = firewall.inputs(config.load(NET + "ssh: {from: off}", "g"), situation)
    assert firewall.revision(other) != firewall.revision(firewall.inputs(read, situation))


def test_ports() -> None:
    status = {"config": {"settings": {"primaryPort": 9993, "secondaryPort": 0, "tertiaryPort": 41000}}}
    assert firewall.ports(status) == (9993,), "the others are random"
    assert firewall.ports({}) == (9993,)


def test_a_new_identity_goes_to_the_disk_before_it_is_registered() -> None:
    (action,) = start_zerotier.plan_keeping("deadbeef00", "")
    assert action == Command(("sync",), action.why)
    assert start_zerotier.plan_keeping("deadbeef00", "deadbeef01") == [action]
    assert start_zerotier.plan_keeping("deadbeef00", "deadbeef00") == []


def test_a_service_that_is_not_running_is_started() -> None:
    assert start_zerotier.plan_start(active=True) == []
    (action,) = start_zerotier.plan_start(active=False)
    assert action == Command(("systemctl", "start", "zerotier-one.service"), action.why)


SECRET = f"116be780b4:0:{'ab' * 64}:{'cd' * 64}"
PUBLIC = SECRET.rpartition(":")[0]


@pytest.mark.parametrize(
    ("found", "own", "kinds"),
    [
        (None, None, []),
        (SECRET, None, [Command, WriteFile, WriteFile, Overwrite, Remove]),
        (f"{SECRET}\r\n", "another", [Command, WriteFile, WriteFile, Overwrite, Remove]),
        (SECRET, f"{SECRET}\n", [Overwrite, Remove]),
        ("\0\0\0", SECRET, [Remove]),
    ],
)
def test_an_identity_from_the_card(found: str | None, own: str | None, kinds: list[type]) -> None:
    """It is in its place before it leaves the card, and a power cut between two actions costs nothing."""
    texts = [text.encode() if text is not None else None for text in (found, own)]
    actions = take_identity.plan(texts[0], texts[1], Paths())
    assert [type(action) for action in actions] == kinds
    for action in actions:
        if isinstance(action, WriteFile):
            wanted = {"identity.secret": (SECRET, 0o600), "identity.public": (PUBLIC, 0o644)}
            assert (action.content.decode(), action.mode) == wanted[action.path.name]


def test_what_is_no_identity_stays_where_it_is() -> None:
    with pytest.raises(ZtgateError, match="no ZeroTier identity"):
        take_identity.plan(PUBLIC.encode(), None, Paths())


@pytest.mark.parametrize(("count", "told"), [("0", False), ("800", False), ("950", True), ("1000", True)])
def test_a_table_of_connections_that_is_nearly_full(count: str, told: bool) -> None:
    values: sysctl.Values = {track_connections.COUNT: count, track_connections.MOST: "1000"}
    assert bool(track_connections.crowded(values)) == told


def test_no_table_of_connections_is_not_full() -> None:
    assert track_connections.crowded({track_connections.COUNT: None, track_connections.MOST: None}) == ""
