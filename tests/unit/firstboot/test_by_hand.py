"""controller.kind: none: what people are told to do, and that the gateway goes on when they have done it."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from ztgate import by_hand, report, service, state
from ztgate.actions import Command, WriteMember, WriteNetwork
from ztgate.by_hand import Want, missing
from ztgate.errors import WaitingError, ZtgateError
from ztgate.machine import Machine
from ztgate.reconcile import reconcile
from ztgate.secret import Secret
from ztgate.zerotier import Network, parse_network

from .support import NETWORK, NODE, FakeController, found, machine, tools, with_console

VIA6 = "fd11:6be7:80b4:8708:3999:9311:6be7:80b4"
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
OLD = IPv6Network("2600:db8:0:9:ff::/80")
OWN6 = "2600:db8:0:1:ff:116b:e780:b4"
LAN: dict[str, Any] = {"target": "10.66.0.0/24", "via": None}
RANGE6: dict[str, Any] = {"target": str(SUBNET), "via": None}
DEFAULT4 = {"target": "0.0.0.0/0", "via": "10.66.0.7"}
DEFAULT6 = {"target": "::/0", "via": VIA6}
FOREIGN = {"target": "0.0.0.0/0", "via": "10.66.0.77"}
NONE = f"network: {NETWORK}\ncontroller: {{kind: none}}\n"

WANT = Want(NETWORK, NODE, None, IPv4Network("203.0.1.0/24"), SUBNET)
IPV4 = replace(WANT, subnet=None)
NAMED = replace(IPV4, address=IPv4Address("10.66.0.9"))
NAT66 = replace(IPV4, nat66=True)
BROKEN6 = replace(WANT, works6=False)
DNS4, DNS6 = (replace(want, domain="net.example.org") for want in (IPV4, WANT))
LOOKED_UP = "have names of net.example.org looked up here"
MOVED = replace(WANT, old_subnet=OLD)

JOIN = f"authorize node {NODE} in network {NETWORK} at its controller"
GIVE = f"give {NODE} an IPv4 address"
SIX = [f"add the range {SUBNET}", f"have addresses of {SUBNET} assigned", f"add the route ::/0 via {VIA6}"]
GIVE_IT = f"give {NODE} the address "
FOUR = "add the route 0.0.0.0/0 via "
FOUR_THERE = FOUR + "that address"
ALL = [LAN, RANGE6, DEFAULT4, DEFAULT6]
OWN = ["10.66.0.7/24", f"{OWN6}/80", f"{VIA6}/88"]


def seen(routes: list[dict[str, Any]], addresses: list[str], status: str = "OK", dns: Any = None) -> Network:
    data = {"id": NETWORK, "status": status, "assignedAddresses": addresses, "routes": routes}
    return parse_network({**data, "dns": dns or {"domain": "", "servers": []}})


def pointed(*servers: str, domain: str = "net.example.org") -> Network:
    """A network that is set up, with a DNS setting."""
    return seen(ALL, OWN, dns={"domain": domain, "servers": list(servers)})


@pytest.mark.parametrize(
    ("want", "network", "items"),
    [
        (WANT, None, [JOIN, GIVE, FOUR_THERE, *SIX]),
        (WANT, seen([], [], "ACCESS_DENIED"), [JOIN, GIVE, FOUR_THERE, *SIX]),
        (IPV4, None, [JOIN, GIVE, FOUR_THERE]),
        (IPV4, seen([LAN], []), [GIVE_IT + "10.66.0.1", FOUR_THERE]),
        (NAMED, seen([LAN], OWN), [GIVE_IT + "10.66.0.9", FOUR_THERE]),
        (IPV4, seen([], []), ["add the range 10.116.32.0/24", GIVE_IT + "10.116.32.1", FOUR_THERE]),
        (NAMED, seen([], []), ["add the range 10.66.0.0/24", GIVE_IT + "10.66.0.9", FOUR_THERE]),
        (IPV4, seen([LAN], OWN), [FOUR + "10.66.0.7"]),
        (IPV4, seen([LAN, DEFAULT4], [*OWN, "10.9.0.1/0"]), [f"remove the address 10.9.0.1 from {NODE}"]),
        (IPV4, seen([LAN, FOREIGN], OWN), ["delete the route 0.0.0.0/0 via 10.66.0.77"]),
        (IPV4, seen([LAN, DEFAULT4], OWN), []),
        (IPV4, seen([LAN, DEFAULT4], ["10.66.0.101/24", *OWN]), []),
        (WANT, seen([LAN, DEFAULT4], OWN[:1]), SIX),
        (WANT, seen([LAN, DEFAULT4, RANGE6], OWN[:1]), SIX[1:]),
        (WANT, seen([LAN, DEFAULT4, RANGE6], OWN[:2]), SIX[1:]),
        (WANT, seen([LAN, DEFAULT4, RANGE6], OWN), SIX[2:]),
        (NAT66, None, [JOIN, GIVE, FOUR_THERE, "have RFC 4193 addresses assigned", SIX[2]]),
        (NAT66, seen([LAN, DEFAULT4], OWN[:1]), ["have RFC 4193 addresses assigned", SIX[2]]),
        (NAT66, seen([LAN, DEFAULT4], OWN), SIX[2:]),
        (NAT66, seen([LAN, DEFAULT4, DEFAULT6], OWN), []),
        (BROKEN6, seen([LAN, DEFAULT4, RANGE6], OWN), []),
        (WANT, seen(ALL, OWN), []),
        (DNS4, None, [JOIN, GIVE, FOUR_THERE, LOOKED_UP]),
        (DNS6, seen(ALL, OWN), [LOOKED_UP]),
        (DNS6, pointed("10.66.0.7"), [LOOKED_UP]),
        (DNS6, pointed("10.66.0.7", VIA6), []),
        (DNS6, pointed("10.66.0.7", VIA6, domain="old.example"), [LOOKED_UP]),
        (DNS6, pointed("10.66.0.53"), []),
        (replace(DNS6, takeover=True), pointed("10.66.0.53"), [LOOKED_UP]),
        (WANT, pointed("10.66.0.7", VIA6), ["stop names of net.example.org from being looked up here"]),
        (WANT, pointed("10.66.0.53"), []),
        (MOVED, seen([*ALL, {"target": str(OLD), "via": None}], OWN), [f"remove the range {OLD}"]),
    ],
)
def test_what_is_missing(want: Want, network: Network | None, items: list[str]) -> None:
    assert [item.short for item in missing(want, network)] == items


def test_values_are_concrete() -> None:
    words = " ".join(item.words for item in missing(WANT, seen([LAN], [])))
    for value in (
        f"Members: give {NODE} one address, 10.66.0.1",
        f"Managed Routes: add {SUBNET} without Via",
        "from 2600:db8:0:1:ff:: to 2600:db8:0:1:ff:ffff:ffff:ffff",
        f"Managed Routes: add ::/0 via {VIA6}",
    ):
        assert value in words


def test_a_dns_setting_is_said_in_values_and_waited_for_only_to_leave() -> None:
    (item,) = missing(DNS6, seen(ALL, OWN))
    assert item.words == f"DNS: Search Domain net.example.org, Server Address 10.66.0.7 and {VIA6}"
    assert item.command == (
        f'edit \'\' \'{{dns: {{domain: "net.example.org", servers: ["10.66.0.7", "{VIA6}"]}}}}\''
    )
    assert not item.needed
    leaving = by_hand.to_withdraw(WANT, pointed("10.66.0.7", VIA6))
    assert "stop names of net.example.org from being looked up here" in [
        each.short for each in leaving if each.needed
    ]


@pytest.mark.parametrize(("insist", "needed"), [(False, 0), (True, 3)])
def test_ipv6_is_needed_only_where_it_is_insisted_on(insist: bool, needed: int) -> None:
    items = missing(replace(WANT, insist6=insist), seen([LAN, DEFAULT4], OWN[:1]))
    assert sum(item.needed for item in items) == needed


def go(made: Machine) -> str:
    """One round: what it waits for, or that it is ready."""
    made.todo = ()
    try:
        reconcile(made, found(made))
    except WaitingError as reason:
        return reason.message
    return "ready"


def done_by_hand(controller: FakeController) -> list[tuple[str, Any]]:
    """Each thing that somebody does, and what the gateway waits for before it."""
    settings, rows = controller.settings, controller.rows
    return [
        (JOIN, lambda: rows.update({NODE: {"authorized": True}})),
        (GIVE_IT + "10.66.0.1", lambda: rows[NODE].update(ipAssignments=["10.66.0.7"])),
        (FOUR + "10.66.0.7", lambda: settings["routes"].append(DEFAULT4)),
    ]


def test_it_goes_on_when_somebody_has_done_it(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN]})
    made = machine(tmp_path, controller, NONE)
    for reason, do in done_by_hand(controller):
        assert go(made) == reason
        do()
    assert go(made) == "ready"
    assert state.load(made.paths).routes == ("0.0.0.0/0 via 10.66.0.7",)
    assert controller.calls == 0, "the API is asked nothing"
    assert not any(isinstance(action, WriteNetwork | WriteMember) for action in made.performed)
    assert sum(action.argv == ("sync",) for action in made.performed if isinstance(action, Command)) == 1


def test_ipv6_comes_when_the_network_has_it(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN, DEFAULT4]})
    controller.rows[NODE] = {"authorized": True, "ipAssignments": ["10.66.0.7"]}
    made = machine(tmp_path, controller, NONE)
    outcome = reconcile(made, found(made))
    assert outcome.subnet == "" and "is not registered at the controller" in outcome.ipv6_reason
    assert f"to do at the controller: Managed Routes: add {SUBNET} without Via" in outcome.warnings
    assert not tools(made).proxies
    controller.settings["routes"].append(RANGE6)
    controller.settings["v6AssignMode"] = {"rfc4193": True, "zt": True}
    outcome = reconcile(made, found(made))
    assert outcome.subnet == "" and outcome.ipv6_reason == f"not at the controller yet: {SIX[2]}"
    assert tools(made).proxies, "members are answered for before they are sent here"
    controller.settings["routes"].append(DEFAULT6)
    outcome = reconcile(made, found(made))
    assert (outcome.subnet, outcome.warnings) == (str(SUBNET), ())


def test_a_controller_that_has_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done ahead is not asked for; a controller that stays silent is told of, with the list."""
    made = machine(tmp_path, FakeController({"routes": [LAN]}), NONE)
    silent = seen([], [], "REQUESTING_CONFIGURATION")
    monkeypatch.setattr(made.service, "network", lambda _: replace(silent, allow_global=True))
    assert go(made) == "the network's controller has not answered yet"
    assert made.todo[0].short == JOIN


def test_nat66_is_needed_where_it_is_asked_for(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN, DEFAULT4]})
    controller.rows[NODE] = {"authorized": True, "ipAssignments": ["10.66.0.7"]}
    made = machine(tmp_path, controller, NONE + "ipv6: {mode: nat66}\n")
    assert go(made) == "have RFC 4193 addresses assigned"
    controller.settings["v6AssignMode"] = {"rfc4193": True}
    assert go(made) == SIX[2]
    controller.settings["routes"].append(DEFAULT6)
    assert reconcile(made, found(made)).ipv6 == "nat66"


def test_nobody_is_sent_here_before_it_works(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN, RANGE6], "v6AssignMode": {"rfc4193": True, "zt": True}})
    controller.rows[NODE] = {"authorized": True, "ipAssignments": ["10.66.0.7"]}
    made = machine(tmp_path, controller, NONE)
    tools(made).pings = lambda host: False
    assert go(made).startswith("no answer over IPv4")
    tools(made).pings = lambda host: ":" not in host
    assert go(made) == FOUR + "10.66.0.7"
    assert [item.short for item in made.todo] == [FOUR + "10.66.0.7"], "no IPv6 that does not work"
    tools(made).pings = lambda host: True
    go(made)
    assert [item.short for item in made.todo][1:] == SIX[2:]


def test_an_address_outside_the_network_is_refused(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN]})
    controller.rows[NODE] = {"authorized": True}
    made = machine(tmp_path, controller, NONE + "gateway: {address: 10.9.0.1}\n")
    with pytest.raises(ZtgateError, match=r"10\.9\.0\.1 is outside the network's ranges"):
        go(made)


def test_a_range_that_the_wan_has_too_is_refused(tmp_path: Path) -> None:
    """Before people are asked to send members here."""
    controller = FakeController({"routes": [LAN]})
    controller.rows[NODE] = {"authorized": True, "ipAssignments": ["10.66.0.7"]}
    made = machine(tmp_path, controller, NONE)
    rows = json.loads(tools(made).routes4)
    tools(made).routes4 = json.dumps([*rows, {"dst": "10.66.0.0/16", "dev": "ens3"}])
    with pytest.raises(ZtgateError, match=r"range 10\.66\.0\.0/24 overlaps 10\.66\.0\.0/16 on ens3"):
        go(made)


def test_what_people_see(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN]})
    made = machine(tmp_path, controller, NONE)
    console = with_console(made)
    assert service.apply(made, once=True) == service.WAITING
    assert f"ztgate: waiting: {JOIN}" in console.read_text()
    card = made.paths.status_text.read_text()
    assert f"  1. Members: authorize {NODE}\n" in card
    assert f"$N/member/{NODE}\n" in card and '{"authorized": true}' in card
    for _, do in done_by_hand(controller):
        do()
    assert service.apply(made, once=True) == service.READY
    status, card = report.read(made), made.paths.status_text.read_text()
    assert len(status["todo"]) == 3 and status["warnings"][0].endswith(status["todo"][0])
    assert f"warning: {status['warnings'][2]}\n" in card and "v6AssignMode" in card


def test_withdrawing_is_told_and_ends_here(tmp_path: Path) -> None:
    controller = FakeController({"routes": [LAN, RANGE6, DEFAULT4, DEFAULT6]})
    controller.settings["v6AssignMode"] = {"rfc4193": True, "zt": True}
    controller.rows[NODE] = {"authorized": True, "ipAssignments": ["10.66.0.7"]}
    made = machine(tmp_path, controller, NONE)
    assert service.apply(made, once=True) == service.READY
    made.performed.clear()
    assert service.withdraw(made) == service.WAITING
    status = report.read(made)
    assert status["reason"] == "delete the route 0.0.0.0/0 via 10.66.0.7"
    assert [words.split(".")[0] for words in status["todo"]][1] == f"Managed Routes: delete ::/0 via {VIA6}"
    assert f"Managed Routes: then delete {SUBNET}" in status["todo"][2]
    assert status["todo"][3] == f"Members: deauthorize {NODE}, then delete it"
    assert made.performed == [], "members still go out here"
    del controller.settings["routes"][2:]
    assert service.withdraw(made) == service.READY
    assert "leave the network" in [action.why for action in made.performed]
    assert report.read(made)["state"] == "withdrawn" and len(report.read(made)["todo"]) == 2
    assert service.apply(made, once=True) == service.READY, "the timer leaves it so"
    controller.settings["routes"].append(DEFAULT4)
    assert service.apply(made, once=True, again=True) == service.READY
    assert report.read(made)["state"] == "ready"


def test_there_is_no_token_to_give(tmp_path: Path) -> None:
    made = machine(tmp_path, FakeController(), NONE)
    assert service.apply(made, once=True, token=Secret("abcd")) == service.FAILED
    assert "no token is needed" in report.read(made)["reason"]


def test_commands_are_given_once_they_are_safe() -> None:
    """Before it is a member it sees no routes, and could add one that is there already."""
    before = by_hand.commands(NETWORK, missing(WANT, None))
    assert len(before) == len(by_hand.FUNCTIONS) + 1
    assert by_hand.commands(NETWORK, ()) == ()
