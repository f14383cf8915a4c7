"""All steps together, on a pretended machine: from nothing to ready, and what happens afterwards."""

from pathlib import Path
from typing import Any

import pytest
from ztgate import reconcile, report, service, state
from ztgate.actions import CallService, Command, Overwrite, WriteFile, WriteMember, WriteNetwork
from ztgate.errors import WaitingError, ZtgateError
from ztgate.machine import Machine
from ztgate.reconcile import Outcome
from ztgate.reconcile import reconcile as run

from .support import GOOD, NODE, TOKEN, FakeController, forget_boot, found, machine, tools, with_console

KEEP = GOOD + "  token-after-setup: keep\n"
VIA6 = "fd11:6be7:80b4:8708:3999:9311:6be7:80b4"
SUBNET = "2600:db8:0:1:ff::/80"


def go(made: Machine) -> Outcome:
    made.performed.clear()
    return run(made, found(made))


def rebooted(made: Machine) -> None:
    forget_boot(made.paths, tools(made))
    tools(made).loaded = ""


def kinds(made: Machine) -> set[type]:
    return {type(action) for action in made.performed}


def routes(controller: FakeController) -> list[tuple[str, str | None]]:
    return [(row["target"], row["via"]) for row in controller.settings["routes"]]


def test_from_nothing_to_ready(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    outcome = go(made)
    assert (outcome.address, outcome.subnet, outcome.token) == ("10.66.0.1", SUBNET, "discarded")
    assert routes(controller) == [
        ("10.66.0.0/24", None),
        (SUBNET, None),
        ("0.0.0.0/0", "10.66.0.1"),
        ("::/0", VIA6),
    ]
    assert controller.settings["mtu"] == 1390
    assert controller.rows[NODE]["authorized"] is True
    joins = [action for action in made.performed if isinstance(action, CallService)]
    assert joins[0].body == {"allowManaged": True, "allowGlobal": True, "allowDefault": False}
    assert "2600:db8:0:1:ff:54:f03b:7f83" in tools(made).proxies, "a member that ZeroTier knows"
    assert 'oifname "ens3" ip saddr { 10.66.0.0/24 } counter masquerade' in tools(made).loaded
    assert TOKEN not in made.paths.fat_config.read_text()


def test_nothing_is_announced_before_it_is_proved(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    tools(made).pings = lambda host: False
    with pytest.raises(WaitingError, match="no answer over IPv4"):
        go(made)
    assert not any(via for _, via in routes(controller))
    assert TOKEN in made.paths.fat_config.read_text(), "not set up yet"
    tools(made).pings = lambda host: True
    assert go(made).routes[0] == "0.0.0.0/0 via 10.66.0.1"


def test_second_run_plans_nothing(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    first = go(made)
    calls = controller.calls
    assert go(made) == first
    assert made.performed == [] and controller.calls == calls


def test_reboot_asks_nobody(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    go(made)
    rebooted(made)
    calls = controller.calls
    assert go(made).address == "10.66.0.1"
    assert controller.calls == calls
    assert kinds(made) == {Command, WriteFile}, "firewall, proxies and ndppd are of this boot"


def test_ipv4_alone_when_ipv6_does_not_work(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    tools(made).pings = lambda host: ":" not in host
    outcome = go(made)
    assert outcome.subnet == "" and "nobody on the IPv6 internet answers" in outcome.ipv6_reason
    assert [target for target, via in routes(controller) if via] == ["0.0.0.0/0"]
    # It works later, and the token is still there.
    tools(made).pings = lambda host: True
    assert go(made).subnet == SUBNET
    assert ("::/0", VIA6) in routes(controller)


def test_no_ipv6_at_all(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    tools(made).routes6 = "[]"
    outcome = go(made)
    assert outcome.subnet == "" and outcome.ipv6_reason.startswith("the WAN has no IPv6 default route")
    assert [target for target, _ in routes(controller)] == ["10.66.0.0/24", "0.0.0.0/0"]
    assert "reject with icmpv6 no-route" in tools(made).loaded


def test_ndp_proxy_insists(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, GOOD + "ipv6: {mode: ndp-proxy}\n")
    tools(made).routes6 = "[]"
    with pytest.raises(WaitingError, match="IPv6: the WAN has no IPv6 default route"):
        go(made)


def test_ipv6_that_is_away_for_a_while_stays_registered(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    go(made)
    before = routes(controller)
    rebooted(made)
    tools(made).routes6 = "[]"
    go(made)
    assert routes(controller) == before


@pytest.mark.parametrize("token", [KEEP, GOOD])
def test_new_prefix(tmp_path: Path, controller: FakeController, token: str) -> None:
    made = machine(tmp_path, controller, token)
    go(made)
    for name in ("links", "routes6"):
        setattr(tools(made), name, getattr(tools(made), name).replace("2600:db8:0:1:", "2600:db8:0:2:"))
    outcome = go(made)
    if token == KEEP:
        assert outcome.subnet == "2600:db8:0:2:ff::/80"
        assert "2600:db8:0:1:ff::/80" not in str(controller.settings)
    else:
        assert outcome.subnet == "" and "is not registered" in outcome.ipv6_reason
        assert any("ztgate register --token-file FILE" in warning for warning in outcome.warnings)
        assert outcome.address == "10.66.0.1", "IPv4 goes on"


def test_switched_off_is_withdrawn(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    go(made)
    made.paths.fat_config.write_text(KEEP + "ipv6: {mode: off}\n")
    assert go(made).ipv6_reason == "switched off in gateway.yaml"
    assert routes(controller) == [("10.66.0.0/24", None), ("0.0.0.0/0", "10.66.0.1")]


def test_somebody_elses_default_route(tmp_path: Path, controller: FakeController) -> None:
    foreign = {"target": "0.0.0.0/0", "via": "10.66.0.77"}
    controller.settings["routes"] += [foreign, {"target": "172.20.0.0/16", "via": "10.66.0.78"}]
    made = machine(tmp_path, controller, KEEP)
    with pytest.raises(ZtgateError, match=r"another gateway: 0.0.0.0/0 via 10.66.0.77") as caught:
        go(made)
    assert "takeover" in caught.value.hint
    assert not kinds(made) & {WriteNetwork, WriteMember}, "nothing was written"
    made.paths.fat_config.write_text(KEEP + "gateway: {takeover: true}\n")
    go(made)
    assert foreign not in controller.settings["routes"]
    assert ("0.0.0.0/0", "10.66.0.1") in routes(controller)
    assert ("172.20.0.0/16", "10.66.0.78") in routes(controller), "not ours to touch"


def test_a_new_address_takes_the_route_along(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    go(made)
    made.paths.fat_config.write_text(KEEP + "gateway: {address: 10.66.0.9}\n")
    assert go(made).address == "10.66.0.9"
    writes = [a.changes["routes"] for a in made.performed if isinstance(a, WriteNetwork)]
    assert [any(row["target"] == "0.0.0.0/0" for row in rows) for rows in writes] == [False, True]


def test_no_token(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, "network: 116be780b4870839\n")
    with pytest.raises(ZtgateError, match="no token for the controller"):
        go(made)


def test_no_nft(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    others = made.probe

    def without_nft(argv: Any, **options: Any) -> tuple[int, str]:
        return (127, "nft is not installed") if argv[0] == "nft" else others(argv, **options)

    made.probe = without_nft
    with pytest.raises(ZtgateError, match="nft is not installed"):
        go(made)


def test_ipv6_that_failed_is_not_tried_for_ever(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    tools(made).pings = lambda host: ":" not in host
    assert "run `ztgate register --token-file FILE`" in go(made).ipv6_reason
    tools(made).calls.clear()
    assert "nobody on the IPv6 internet answers" in go(made).ipv6_reason
    assert not any(call[0] == "ping" for call in tools(made).calls), "the token is gone"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/var/lib/ztgate/x"), "/var/lib/ztgate/x: No space left"),
        (KeyError("routes"), "unexpected: KeyError"),
    ],
)
def test_trouble_never_ends_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def breaks(*_: Any) -> None:
        raise error

    monkeypatch.setattr(reconcile, "reconcile", breaks)
    made = machine(tmp_path)
    assert service.apply(made, once=True) == 1
    assert words in str(report.read(made)["reason"])


def test_no_clock(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    made.paths.synchronized.unlink()
    with pytest.raises(WaitingError, match="the clock is not set yet"):
        go(made)
    assert controller.calls == 0


def test_no_tun(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    made.paths.tun = tmp_path / "tun"
    with pytest.raises(ZtgateError, match="cannot make its network device") as caught:
        go(made)
    assert "modprobe tun" in caught.value.hint


def test_dry_run_changes_nothing(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    made.dry_run = True
    before = dict(controller.settings)
    with pytest.raises(ZtgateError):
        go(made)  # it ends where the network would have to be joined
    assert {WriteFile, WriteNetwork, WriteMember, CallService} <= kinds(made)
    assert controller.settings == before and not controller.rows
    assert not made.paths.state.exists() and Overwrite not in kinds(made)


def test_ready_line_and_status(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller)
    console = with_console(made)
    assert service.apply(made, once=False) == 0
    line = f"ztgate: ready network=116be780b4870839 address=10.66.0.1 ipv6={SUBNET} seconds="
    assert line in console.read_text()
    assert report.read(made)["state"] == "ready" and report.read(made)["wan"]["address"] == "203.0.1.10"
    human = made.paths.status_text.read_text()
    assert "route: ::/0 via" in human and "token: discarded" in human
    console.write_text("")
    assert service.apply(made, once=False) == 0
    assert console.read_text() == "", "said once a boot"
    assert TOKEN not in made.paths.state.read_text() + made.paths.status_json.read_text() + human


@pytest.mark.parametrize(
    ("text", "status", "line"),
    [
        ("", 3, "ztgate: waiting: no configuration: put gateway.yaml on the FAT partition"),
        ("network: 1\ncolour: red\n", 1, "gateway.yaml:1: network: `1` has 1 characters"),
    ],
)
def test_lines_for_trouble(tmp_path: Path, text: str, status: int, line: str) -> None:
    made = machine(tmp_path, text=text)
    console = with_console(made)
    assert service.apply(made, once=True) == status
    assert line in console.read_text()
    assert "ztgate 0.1.0: " + ("waiting" if status == 3 else "failed") in made.paths.status_text.read_text()


def test_sources_in_their_order(tmp_path: Path) -> None:
    made = machine(tmp_path)
    for path, mtu in ((made.paths.baked_config, 1300), (made.paths.cloud_config, 1350)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"network: 116be780b4870839\ngateway: {{mtu: {mtu}}}\n")
    assert found(made).config.gateway.mtu == 1350
    made.paths.cloud_config.unlink()
    assert found(made).config.gateway.mtu == 1390
    made.paths.fat_config.write_text("  \n")
    assert found(made).config.gateway.mtu == 1300


def test_damaged_state_is_found_out_again(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    go(made)
    copy = made.paths.state.with_name("state.json.copy")
    whole = state.load(made.paths)
    for damaged in ('{"registered": ', "", "null", '{"routes": 5}', "\0\0"):
        made.paths.state.write_text(damaged)
        assert state.load(made.paths) == whole, "there is a copy"
        copy.write_text(damaged)
        assert state.load(made.paths) == state.State()
        assert go(made).address == "10.66.0.1"
        assert state.load(made.paths) == whole and copy.read_bytes() == made.paths.state.read_bytes()


def test_another_run_is_at_work(tmp_path: Path) -> None:
    made = machine(tmp_path)
    with service._alone(made), pytest.raises(ZtgateError, match="another"), service._alone(made):
        pass


def test_controller_that_forgets(tmp_path: Path, controller: FakeController) -> None:
    def forgets(network: str, changes: dict[str, Any]) -> None:
        pass

    controller.write_network = forgets  # type: ignore[method-assign]
    with pytest.raises(ZtgateError, match=r"did not keep what was written: .*routes"):
        go(machine(tmp_path, controller))
