"""Whole runs on a pretended machine, by the way in which members' IPv6 leaves."""

import json
from pathlib import Path

import pytest
from ztgate import derive, reconcile, report, service
from ztgate.errors import WaitingError, ZtgateError
from ztgate.facts.ipv6_probe import ON_LINK, ROUTED
from ztgate.machine import Machine
from ztgate.members_subnet import NAT66
from ztgate.reconcile import Outcome
from ztgate.steps import probe_ipv6, proxy_ndp

from .support import GOOD, NETWORK, NODE, FakeClock, FakeController, forget_boot, found, machine, tools
from .test_ipv6 import DELEGATED, HOME, LINK, OTHER, RANGE, SUBNET

VIA6 = str(derive.rfc4193(NETWORK, NODE))
KEEP = GOOD + "  token-after-setup: keep\n"


def go(made: Machine) -> Outcome:
    made.performed.clear()
    return reconcile.reconcile(made, found(made))


def routes6(controller: FakeController) -> list[tuple[str, str | None]]:
    rows = [(row["target"], row["via"]) for row in controller.settings["routes"]]
    return [row for row in rows if ":" in row[0]]


def reboot(made: Machine) -> None:
    forget_boot(made.paths, tools(made))


def test_a_routed_prefix_needs_no_proxy(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    tools(made).on_link = False
    outcome = go(made)
    assert (outcome.ipv6, outcome.subnet) == (ROUTED, str(SUBNET))
    assert routes6(controller) == [(str(SUBNET), None), ("::/0", VIA6)]
    assert tools(made).proxies == {} and proxy_ndp.UNIT not in tools(made).running
    assert go(made) == outcome and made.performed == []


def test_what_was_answered_for_before_is_not_any_more(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    assert go(made).ipv6 == ON_LINK
    assert tools(made).proxies and proxy_ndp.UNIT in tools(made).running
    made.paths.fat_config.write_text(KEEP + f"ipv6: {{mode: routed, prefix: '{LINK}'}}\n")
    assert go(made).ipv6 == ROUTED
    assert tools(made).proxies == {} and proxy_ndp.UNIT not in tools(made).running


def test_a_prefix_from_the_router_at_home(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    tools(made).delegated, tools(made).on_link = DELEGATED, False
    outcome = go(made)
    assert (outcome.ipv6, outcome.subnet) == (ROUTED, "2600:db8:40:8:ff::/80")
    assert service.apply(made, once=True) == 0
    assert f"ipv6: 2600:db8:40:8:ff::/80 (the /62 {HOME} was delegated" in made.paths.status_text.read_text()


def test_members_keep_their_addresses_when_a_prefix_is_delegated_later(
    tmp_path: Path, controller: FakeController
) -> None:
    made = machine(tmp_path, controller)
    go(made)
    reboot(made)
    tools(made).delegated = DELEGATED
    assert go(made).subnet == str(SUBNET)


def test_a_delegated_prefix_that_is_late_after_a_reboot_is_waited_for(
    tmp_path: Path, controller: FakeController
) -> None:
    made = machine(tmp_path, controller, KEEP)
    tools(made).delegated = DELEGATED
    before = go(made).subnet
    reboot(made)
    tools(made).delegated = ""
    clock = made.clock
    assert isinstance(clock, FakeClock)
    clock.at = {clock.time + 2: lambda: setattr(tools(made), "delegated", DELEGATED)}
    assert go(made).subnet == before == "2600:db8:40:8:ff::/80"


@pytest.mark.parametrize("on_link", [True, False])
def test_routed_takes_nothing_else(tmp_path: Path, controller: FakeController, on_link: bool) -> None:
    made = machine(tmp_path, controller, GOOD + "ipv6: {mode: routed}\n")
    tools(made).on_link = on_link
    if on_link:
        with pytest.raises(WaitingError, match="is on-link and not routed here"):
            go(made)
    else:
        assert go(made).ipv6 == ROUTED


def test_a_prefix_that_the_wan_does_not_have(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, GOOD + f"ipv6: {{mode: routed, prefix: '{OTHER}'}}\n")
    tools(made).routes6 = tools(made).routes6.replace("2600:db8:0:1::/64", "fe80::/64")
    assert go(made).subnet == "2600:db8:77:100:ff::/80"


def test_nat66(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, GOOD + "ipv6: {mode: nat66}\n")
    assert service.apply(made, once=True) == 0
    assert routes6(controller) == [("::/0", VIA6)], "no /80"
    assert controller.settings["v6AssignMode"]["rfc4193"] and not tools(made).proxies
    assert f"ip6 saddr {RANGE} counter masquerade" in tools(made).loaded
    assert ("ping", "-6", "-n", "-q", "-c", "1", "-W", "1", "-I", VIA6, "2620:fe::fe") in tools(made).calls
    status = report.read(made)
    assert (status["ipv6"], status["subnet"]) == (NAT66, "")
    assert "ipv6: nat66 (members share the WAN's address" in made.paths.status_text.read_text()


def test_from_a_range_to_nat66_takes_the_range_away(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    go(made)
    made.paths.fat_config.write_text(KEEP + "ipv6: {mode: nat66}\n")
    assert go(made).ipv6 == NAT66
    assert routes6(controller) == [("::/0", VIA6)]
    assert not any(":" in row["ipRangeStart"] for row in controller.settings["ipAssignmentPools"])


def test_nat66_that_nobody_can_register(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    go(made)
    made.paths.fat_config.write_text(f"network: {NETWORK}\nipv6: {{mode: nat66}}\n")
    outcome = go(made)
    assert outcome.ipv6_reason == "NAT66 is not registered at the controller"
    assert "reject with icmpv6 no-route" in tools(made).loaded, "and IPv4 goes on"


@pytest.mark.parametrize("mode", ["ndp-proxy", "routed", "nat66"])
def test_who_names_a_way_insists_on_it(tmp_path: Path, controller: FakeController, mode: str) -> None:
    made = machine(tmp_path, controller, GOOD + f"ipv6: {{mode: {mode}}}\n")
    tools(made).routes6 = "[]"
    with pytest.raises(WaitingError, match="IPv6: the WAN has no IPv6 default route"):
        go(made)


def probes(made: Machine) -> int:
    """How often a probe's address was put in place since the last question."""
    count = sum(call[:4] == ("ip", "-6", "address", "add") for call in tools(made).calls)
    tools(made).calls.clear()
    return count


WAN_ONLY = "2600:db8:0:1:5054:ff:fe12:3456"


def test_what_works_is_probed_once_a_boot(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    go(made)
    assert probes(made) == 1
    go(made)
    assert probes(made) == 0
    reboot(made)
    go(made)
    assert probes(made) == 1


def test_a_filtered_prefix_is_tried_again_now_and_then(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    others = made.probe

    def filtering(argv: tuple[str, ...], **options: str) -> tuple[int, str]:
        hears = argv[0] != "ping" or "-6" not in argv or WAN_ONLY in argv
        return others(argv, **options) if hears else (1, "")

    made.probe = filtering
    assert "mode: nat66 would do" in go(made).ipv6_reason
    made.probe = others
    assert probes(made) > 1, "once the token is gone it would be too late"
    go(made)
    assert probes(made) == 0
    made.clock.sleep(probe_ipv6.RETRY)
    assert go(made).ipv6 == ON_LINK


def test_a_dry_run_does_not_probe(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    made.dry_run = True
    with pytest.raises(ZtgateError):
        go(made)  # it ends where the network would have to be joined
    assert probes(made) == 0


NEXT = "2600:db8:0:2"


def rotate(made: Machine, **old: bool) -> None:
    """The router announces another /64 from now on; of the one before it says this."""
    pretended = tools(made)
    links, routes = json.loads(pretended.links), json.loads(pretended.routes6)
    before = links[0]["addr_info"][1]
    after = {**before, "local": before["local"].replace("2600:db8:0:1", NEXT)}
    before |= old
    links[0]["addr_info"].insert(1, after)
    pretended.links = json.dumps(links)
    pretended.routes6 = json.dumps([{**routes[0], "dst": f"{NEXT}::/64"}, *routes])


def test_a_prefix_that_the_router_takes_back_is_given_up(tmp_path: Path, controller: FakeController) -> None:
    """Although it still works, and members have addresses of it: that ends soon."""
    made = machine(tmp_path, controller, KEEP)
    assert go(made).subnet == str(SUBNET)
    rotate(made, deprecated=True)
    assert go(made).subnet == f"{NEXT}:ff::/80"
    assert {target for target, _ in routes6(controller)} == {f"{NEXT}:ff::/80", "::/0"}


@pytest.mark.parametrize("works", [True, False])
def test_a_prefix_beside_a_new_one_is_probed_again(
    tmp_path: Path, controller: FakeController, works: bool
) -> None:
    """A router that forgets its last prefix takes nothing back; the addresses stay for hours."""
    made = machine(tmp_path, controller, KEEP)
    go(made)
    rotate(made)
    others = made.probe

    def forgetful(argv: tuple[str, ...], **options: str) -> tuple[int, str]:
        lost = argv[0] == "ping" and any(word.startswith("2600:db8:0:1:") for word in argv)
        return (1, "") if lost and not works else others(argv, **options)

    made.probe = forgetful
    assert go(made).subnet == (str(SUBNET) if works else f"{NEXT}:ff::/80")
    assert go(made).subnet == (str(SUBNET) if works else f"{NEXT}:ff::/80"), "and stays so"


def test_one_of_several_prefixes_is_probed_now_and_then(tmp_path: Path, controller: FakeController) -> None:
    """The router of before may be back, and the other prefix as good as gone."""
    made = machine(tmp_path, controller, KEEP)
    rotate(made)
    go(made)
    assert probes(made) == 1
    go(made)
    assert probes(made) == 0
    made.clock.sleep(probe_ipv6.AGAIN)
    go(made)
    assert probes(made) == 1


def test_the_router_of_before_is_back(tmp_path: Path, controller: FakeController) -> None:
    """Both prefixes have been there all the time, and the one that did not work is the one that does now."""
    made = machine(tmp_path, controller, KEEP)
    go(made)
    rotate(made)
    others, gone = made.probe, "2600:db8:0:1:"

    def forgetful(argv: tuple[str, ...], **options: str) -> tuple[int, str]:
        lost = argv[0] == "ping" and any(word.startswith(gone) for word in argv)
        return (1, "") if lost else others(argv, **options)

    made.probe = forgetful
    assert go(made).subnet == f"{NEXT}:ff::/80"
    gone = NEXT
    made.clock.sleep(probe_ipv6.AGAIN)
    assert go(made).subnet == str(SUBNET)
