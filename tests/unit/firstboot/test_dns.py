"""Members' resolver: names of what people typed, Unbound's configuration, the network's DNS setting."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ztgate import admit, config, lint, members, names, register, report, resolver, service, state, tell
from ztgate.controllers.base import NO_DNS, Member
from ztgate.doctor import resolver as doctor
from ztgate.errors import ZtgateError
from ztgate.machine import Machine
from ztgate.paths import Paths
from ztgate.secret import Secret
from ztgate.steps import serve_dns
from ztgate.zerotier import Network

from .support import GOOD, NETWORK, NODE, TOKEN, FakeController, machine, tools

ULA, OTHER, THIRD = "fd11:6be7:80b4:8708:3999:9311:6be7:80b4", "54f03b7f83", "0000000042"
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
JOINED = Network(
    NETWORK, "OK", "ztshpwbcen", "3a:19:ec:53:00:53", 1390, True, True, False,
    (IPv4Interface("10.66.0.1/24"),), (IPv6Interface(f"{ULA}/88"),), (IPv4Network("10.66.0.0/24"),), (),
)  # fmt: skip
DOMAIN = "net.example.org"
OURS: dict[str, Any] = {"domain": DOMAIN, "servers": ["10.66.0.1", ULA]}
THEIRS: dict[str, Any] = {"domain": "home.example", "servers": ["10.66.0.53"]}
# All that may stand in the file of names; a hostile name must not get out of its quotes.
LINE = re.compile(
    r'server:|    local-zone: "[a-z0-9.-]+" static'
    r'|    local-data: "[a-z0-9.-]+ 60 IN (A|AAAA|PTR|SOA) [a-z0-9.: -]+"'
)


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("laptop", "laptop"),
        ("Anna's Laptop", "anna-s-laptop"),
        ("  Büro_PC.home ", "buro-pc-home"),
        ("日本", ""),
        ("--", ""),
        ("x" * 80, "x" * 63),
        ('a" IN A 6.6.6.6"\nserver:', "a-in-a-6-6-6-6-server"),
    ],
)
def test_a_name_becomes_a_label(typed: str, label: str) -> None:
    assert names.label(typed) == label


def test_equal_names_are_told_apart_by_the_node_id() -> None:
    typed = {NODE: "pc", OTHER: "PC", THIRD: "p.c", "00000000aa": "pc ", "00000000bb": OTHER}
    assert names.labels(typed, NODE) == {
        NODE: "pc",  # the gateway first
        THIRD: "p-c",
        "00000000aa": "pc-00000000aa",
        "00000000bb": f"{OTHER}-00000000bb",  # nobody is called like another's node id
        OTHER: f"pc-{OTHER}",
    }


MEMBERS = {OTHER: ["laptop", "10.66.0.7", "192.168.9.9"], NODE: ["ztgate", "10.66.0.1"]}


@pytest.mark.parametrize(
    ("network", "subnet", "laptop6", "gateway6"),
    [
        (JOINED, SUBNET, ["2600:db8:0:1:ff:54:f03b:7f83"], [ULA]),
        (JOINED, None, ["fd11:6be7:80b4:8708:3999:9354:f03b:7f83"], [ULA]),
        (replace(JOINED, addresses6=()), None, [], []),
    ],
)
def test_who_has_which_addresses(
    network: Network, subnet: IPv6Network | None, laptop6: list[str], gateway6: list[str]
) -> None:
    """The controller's word counts before what was seen; what is in no range is nobody's."""
    learnt = {"10.66.0.7": THIRD, "10.66.0.9": THIRD, "10.66.0.1": THIRD}
    found = names.hosts(network, NODE, "gw", MEMBERS, learnt, subnet)
    shown = {host.name: [str(address) for address in host.addresses] for host in found}
    third = [text.replace("54:f03b:7f83", "0:0:42").replace("54:f03b:7f83", "") for text in laptop6]
    assert shown["gw"] == ["10.66.0.1", *gateway6]
    assert shown["laptop"] == ["10.66.0.7", *laptop6]
    assert shown[THIRD][0] == "10.66.0.9" and len(shown[THIRD]) == 1 + len(third)


def test_records_lead_there_and_back() -> None:
    host = names.Host(OTHER, "laptop", (IPv4Address("10.66.0.7"),))
    assert list(names.records([host], DOMAIN)) == [
        (f"laptop.{DOMAIN}.", "A 10.66.0.7"),
        (f"{OTHER}.{DOMAIN}.", "A 10.66.0.7"),
        ("7.0.66.10.in-addr.arpa.", f"PTR laptop.{DOMAIN}."),
    ]


@given(st.lists(st.text(), max_size=4))
def test_no_name_gets_out_of_its_quotes(typed: list[str]) -> None:
    members = {f"{number:010x}": [name, f"10.66.0.{number + 9}"] for number, name in enumerate(typed)}
    found = names.hosts(JOINED, NODE, "gw", members, {}, SUBNET)
    text = resolver.names(names.records(found, DOMAIN), DOMAIN)
    assert all(LINE.fullmatch(line) for line in text.splitlines()), text


def test_who_is_remembered_and_who_was_seen() -> None:
    here = Member(OTHER, "laptop", {"authorized": True, "ipAssignments": ["10.66.0.7/24", "fd77::7"]})
    assert names.remembered([here, Member(THIRD, "gone", {})]) == {OTHER: ["laptop", "10.66.0.7"]}
    before = {"10.66.0.8": OTHER, "192.168.1.1": OTHER}
    seen = [(THIRD, IPv4Address("10.66.0.8"))]
    assert names.learn(before, seen, JOINED.lan4) == {"10.66.0.8": THIRD}


def test_names_are_kept_when_the_controller_was_asked(
    tmp_path: Path, in_use: Callable[[Any], FakeController]
) -> None:
    """At registration, and by `ztgate members`; the next run has them."""
    controller = in_use([])
    made = machine(tmp_path, controller, GOOD + "  token-after-setup: keep\n")
    ready(made)
    controller.rows[OTHER] = {"authorized": True, "name": "laptop", "ipAssignments": ["10.66.0.7"]}
    members.listing(made, Secret(TOKEN))
    ready(made)
    assert f"laptop.{names.DOMAIN}. 60 IN A 10.66.0.7" in made.paths.resolver_names.read_text()
    assert service.withdraw(made, token=Secret(TOKEN)) == service.READY
    assert not made.paths.members.exists()


def dns(yaml: str) -> config.Dns:
    found = config.load(f"network: {NETWORK}\ndns: {yaml}\n", "test").dns
    assert found
    return found


def test_settings_have_what_was_asked_for() -> None:
    anchor = "corp.example. IN DS 1 13 2 " + "ab" * 32
    given = dns(f"{{upstream: [9.9.9.9, 2620:fe::fe], trust-anchors: ['{anchor}']}}")
    text = resolver.settings(Paths(), ["10.66.0.1"], ["10.66.0.0/24"], given.forward, given.anchors)
    lines = [line.strip() for line in text.splitlines()]
    assert {"interface: 10.66.0.1", "access-control: 10.66.0.0/24 allow", "ip-freebind: yes"} <= {*lines}
    assert lines[lines.index("forward-zone:") + 1 :][:3] == [
        'name: "."',
        "forward-addr: 9.9.9.9",
        "forward-addr: 2620:fe::fe",
    ]
    assert f'trust-anchor: "corp.example. DS 1 13 2 {"AB" * 32}"' in lines
    assert any(line.startswith("auto-trust-anchor-file") for line in lines), "and the internet's own root"
    root = resolver.settings(Paths(), [], [], [], [(".", f"1 13 2 {'AB' * 32}")])
    assert "auto-trust-anchor-file" not in root and "forward-zone" not in root


def test_the_wans_resolvers() -> None:
    text = "# by systemd\nnameserver 203.0.1.1\nnameserver fe80::1%ens3\nnameserver 127.0.0.1\nsearch lan\n"
    assert resolver.uplink_resolvers(text) == ("203.0.1.1", "fe80::1%ens3")
    assert resolver.uplink_resolvers('nameserver fe80::1%"\nnameserver no\n') == ()


SETTINGS, NAMES = b"settings", b"names"
RESTART, RELOAD = (f"systemctl {verb} ztgate-dns.service" for verb in ("restart", "reload"))


@pytest.mark.parametrize(
    ("present", "active", "done"),
    [
        ((None, None), False, ["unbound.conf", "names.conf", RESTART]),
        ((SETTINGS, NAMES), True, []),
        ((SETTINGS, NAMES), False, [RESTART]),
        ((SETTINGS, b"others"), True, ["names.conf", RELOAD]),
        ((b"others", NAMES), True, ["unbound.conf", RESTART]),
    ],
)
def test_only_other_settings_take_a_new_start(present: Any, active: bool, done: list[str]) -> None:
    actions = serve_dns.plan((SETTINGS, NAMES), present, active, Paths())
    assert [str(action).removeprefix("write /run/ztgate-dns/") for action in actions] == done


@pytest.mark.parametrize(
    ("now", "wanted", "takeover_before", "changes"),
    [
        ({}, OURS, NO_DNS, {"dns": OURS}),
        ({"dns": []}, OURS, NO_DNS, {"dns": OURS}),
        ({"dns": OURS}, OURS, NO_DNS, {}),
        ({"dns": THEIRS}, OURS, THEIRS, {"dns": OURS}),
        ({"dns": {"domain": "old.example", "servers": ["10.66.0.1"]}}, OURS, NO_DNS, {"dns": OURS}),
        ({"dns": OURS}, None, NO_DNS, {"dns": NO_DNS}),
        ({"dns": OURS}, None, THEIRS, {"dns": THEIRS}),
        ({"dns": THEIRS}, None, NO_DNS, {}),
        ({"dns": {"domain": "", "servers": None}}, None, NO_DNS, {}),
    ],
)
def test_the_networks_setting(now: Any, wanted: Any, takeover_before: Any, changes: Any) -> None:
    assert register.plan_dns(now, wanted, ["10.66.0.1", ULA], takeover_before) == changes


def test_somebody_elses_setting_is_known() -> None:
    ours = ["10.66.0.1", ULA.upper()]
    assert register.foreign_dns({"dns": OURS}, ours) == ""
    assert register.foreign_dns({"dns": {"domain": "", "servers": None}}, ours) == ""
    assert register.foreign_dns({"dns": THEIRS}, ours) == "home.example by 10.66.0.53"
    assert register.foreign_dns({"dns": {"servers": ["ns"]}}, ours) == "no domain by ns"


@pytest.mark.parametrize(
    ("domain", "servers"), [("a" * 128, ()), ("a..b", ()), (DOMAIN, tuple(f"10.66.0.{n}" for n in range(5)))]
)
def test_what_a_controller_would_write_beyond_its_fields(domain: str, servers: tuple[str, ...]) -> None:
    with pytest.raises(ZtgateError):
        lint.dns(domain, servers)


WITH_DOMAIN = GOOD + "  token-after-setup: keep\ndns: {{domain: {domain}}}\n"


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], FakeController]:
    """A controller whose network has a DNS setting."""

    def make(setting: Any) -> FakeController:
        made = FakeController({"dns": deepcopy(setting), "routes": [{"target": "10.66.0.0/24", "via": None}]})
        monkeypatch.setattr(tell, "open_controller", lambda *_: made)
        monkeypatch.setattr(service, "open_controller", lambda *_: made)
        monkeypatch.setattr(admit, "open_controller", lambda *_: made)
        return made

    return make


def ready(made: Machine, text: str = "") -> None:
    if text:
        made.paths.fat_config.write_text(text)
    assert service.apply(made, once=True) == service.READY, report.read(made)


def test_members_are_pointed_here_and_no_longer(
    tmp_path: Path, in_use: Callable[[Any], FakeController]
) -> None:
    controller = in_use([])
    made = machine(tmp_path, controller, WITH_DOMAIN.format(domain=DOMAIN))
    ready(made)
    assert controller.settings["dns"] == OURS
    told = report.text(report.read(made))
    assert f"dns: 10.66.0.1 and {ULA} for {DOMAIN} and the internet" in told
    made.performed.clear()
    calls = controller.calls
    ready(made)
    assert made.performed == [] and controller.calls == calls
    text = made.paths.fat_config.read_text()
    ready(made, text + "gateway: {address: 10.66.0.77}\n")
    assert controller.settings["dns"]["servers"] == ["10.66.0.77", ULA]
    ready(made, text.replace(f"domain: {DOMAIN}", "domain: null"))
    assert controller.settings["dns"] == NO_DNS
    assert service.withdraw(made, token=Secret(TOKEN)) == service.READY
    assert controller.settings["dns"] == NO_DNS


@pytest.mark.parametrize("takeover", [False, True])
def test_somebody_elses_dns_setting(
    tmp_path: Path, in_use: Callable[[Any], FakeController], takeover: bool
) -> None:
    controller = in_use(THEIRS)
    text = WITH_DOMAIN.format(domain=DOMAIN) + f"gateway: {{takeover: {str(takeover).lower()}}}\n"
    made = machine(tmp_path, controller, text)
    ready(made)
    warned = [text for text in report.read(made)["warnings"] if text.startswith(tell.THEIR_DNS)]
    if takeover:
        assert controller.settings["dns"]["domain"] == DOMAIN and not warned
    else:
        assert controller.settings["dns"] == THEIRS
        assert warned == [
            f"{tell.THEIR_DNS}: home.example by 10.66.0.53; it stays, unless gateway.takeover is true"
        ]
    assert service.withdraw(made, token=Secret(TOKEN)) == service.READY
    assert controller.settings["dns"] == THEIRS


def test_without_a_token_it_says_what_to_run(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    ready(made)
    text = made.paths.fat_config.read_text()
    ready(made, text + f"dns: {{domain: {DOMAIN}}}\n")
    assert any("dns.domain: the controller has to be told" in text for text in report.read(made)["warnings"])
    assert "dns" not in controller.settings
    assert service.apply(made, once=True, token=Secret(TOKEN)) == service.READY
    assert controller.settings["dns"]["domain"] == DOMAIN


def test_dns_off_leaves_nothing(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, GOOD + "  token-after-setup: keep\n")
    ready(made)
    assert serve_dns.UNIT in tools(made).running and made.paths.resolver_conf.exists()
    ready(made, made.paths.fat_config.read_text() + "dns: off\n")
    assert serve_dns.UNIT not in tools(made).running and not made.paths.resolver_conf.exists()
    assert "dport 53" not in tools(made).loaded


def test_a_gateway_without_a_resolver_works_all_the_same(
    tmp_path: Path, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(tmp_path, controller, WITH_DOMAIN.format(domain=DOMAIN))
    there = tools(made)
    failing = ("systemctl", "restart", serve_dns.UNIT)
    monkeypatch.setattr(
        made, "probe", lambda argv, **more: (1, "no") if tuple(argv) == failing else there(argv, **more)
    )
    ready(made)
    assert any(text.startswith("members have no resolver") for text in report.read(made)["warnings"])
    assert "dns" not in controller.settings, "nobody is pointed at what does not run"
    assert state.load(made.paths).dns == ""


OWN = f"{NODE}.zt.home.arpa"
GOOD_REPLY = doctor.Reply("NOERROR", True, "203.0.2.10")
ANSWERS = {
    OWN: doctor.Reply("NOERROR", False, "10.66.0.1"),
    doctor.GOOD: GOOD_REPLY,
    doctor.BOGUS: doctor.Reply("SERVFAIL"),
}


@pytest.mark.parametrize(
    ("other", "holds", "words"),
    [
        ({}, True, ""),
        ({doctor.BOGUS: doctor.Reply("NXDOMAIN")}, True, ""),
        ({OWN: doctor.Reply(doctor.NO_ANSWER)}, False, "does not answer on port 53"),
        ({OWN: doctor.Reply("NXDOMAIN")}, False, f"says that {OWN} is NXDOMAIN, and not 10.66.0.1"),
        ({doctor.GOOD: doctor.Reply("SERVFAIL")}, False, "finds no example.com: SERVFAIL"),
        (
            {doctor.GOOD: replace(GOOD_REPLY, validated=False)},
            False,
            "says nothing of example.com's signature",
        ),
        ({doctor.BOGUS: GOOD_REPLY}, False, "believes dnssec-failed.org's wrong signature"),
    ],
)
def test_what_the_doctor_makes_of_the_answers(other: Any, holds: bool, words: str) -> None:
    answers = {**ANSWERS, **other}
    ok, evidence, step = doctor.judge(answers.__getitem__, "10.66.0.1", OWN, "10.66.0.1")
    assert (ok, bool(step)) == (holds, not holds) and words in evidence


def test_the_doctors_question_and_answer() -> None:
    asked = doctor.question(7, "a.bc")
    assert asked == b"\0\7\1\x20\0\1\0\0\0\0\0\0\1a\2bc\0\0\1\0\1"
    head = b"\0\7\x81\xa0\0\1\0\1\0\0\0\0"
    assert doctor.read(7, head + asked[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xcb\0\2\x0a") == doctor.Reply(
        "NOERROR", True, "203.0.2.10"
    )
    assert doctor.read(7, b"\0\7\x81\x82" + b"\0" * 8) == doctor.Reply("SERVFAIL")
    for wrong in (b"", head[:1] + b"\x08" + head[2:]):
        with pytest.raises(ValueError, match=r"answer|question"):
            doctor.read(7, wrong)
