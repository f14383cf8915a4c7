"""join-macos.sh from beginning to end, in shells like macOS's, on a Mac that is pretended (fake_mac.py)."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, kit

from . import fake_mac_state
from .fake_mac_state import OTHER, OURS

HERE = Path(__file__).parent
PROGRAMS = (
    *("zerotier-cli", "route", "curl", "dscacheutil", "scutil", "networksetup", "pfctl", "launchctl"),
    *("ping", "sleep", "uname", "id", "date", "ifconfig", "killall"),
)
PLACES = {"BOOK=/var/db/ztgate-member": "book", "JOBS=/Library/LaunchDaemons": "jobs"}
BEGIN = "import fake_mac\nfake_mac.begin()\n"
SHELLS = {"bash": ["bash", "--posix"], "dash": ["dash"]}


@dataclass(frozen=True)
class Run:
    status: int
    text: str


class Mac:
    """A pretended Mac in a folder, and join-macos.sh on it."""

    def __init__(self, home: Path, shell: str, **changes: Any) -> None:
        self.home = home
        self.shell = SHELLS[shell]
        (home / "bin").mkdir()
        (home / "jobs").mkdir()
        self.put(**{**fake_mac_state.fresh(), **changes})
        for name in PROGRAMS:
            program = home / "bin" / name
            program.write_text(f"#!{sys.executable} -IS\nimport sys\nsys.path.append({str(HERE)!r})\n{BEGIN}")
            program.chmod(0o755)
        values = kit.kit(config.load(f"network: '{OURS}'\n", "gateway.yaml"), "http://10.66.0.1/")
        text = kit.render("join-macos.sh", values)
        for variable, place in PLACES.items():
            assert text.count(f"\n{variable}\n") == 1
            text = text.replace(f"\n{variable}\n", f"\n{variable.split('=')[0]}={home / place}\n")
        (home / "join-macos.sh").write_text(text)

    def put(self, **changes: Any) -> None:
        path = self.home / "state.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **changes}))

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "state.json").read_text())
        return found

    @property
    def calls(self) -> list[str]:
        path = self.home / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def lasting(self) -> dict[str, Any]:
        """What must be again as it was, after --leave."""
        state = self.state
        networks = {name: one["allow"] for name, one in state["networks"].items()}
        jobs = sorted(path.name for path in (self.home / "jobs").iterdir())
        pf = {key: state["pf"][key] for key in ("rules", "tokens")}
        book = (self.home / "book").exists()
        services = state["services"]
        return {
            "networks": networks,
            "services": services,
            "pf": pf,
            "jobs": [state["jobs"], jobs],
            "book": book,
        }

    def run(self, *words: str) -> Run:
        env = {"PATH": f"{self.home}/bin:{os.environ['PATH']}", "FAKE_MAC": str(self.home)}
        done = subprocess.run(
            [*self.shell, str(self.home / "join-macos.sh"), *words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            start_new_session=True,
        )
        return Run(done.returncode, done.stdout)


@dataclass(frozen=True)
class Case:
    """One run: the Mac before, the options, how it ends; lines and calls that must come in this order."""

    before: dict[str, Any]
    words: tuple[str, ...] = ()
    status: int = 0
    lines: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    again: bool = field(default=True, kw_only=True)  # whether --leave must bring all of it back


WORKS = "It works: this Mac goes out through ztgate."
CASES = {
    "let in after a while": Case(
        {},
        lines=(
            "before: IPv4 198.51.100.20, IPv6 2001:db8:77::5, DNS resolver 198.51.100.53",
            "waiting: the network's controller does not answer yet",
            "waiting: the owner of ztgate has to let this Mac in: tell them its node id, a695f3efef",
            "ok     IPv4 leaves through the gateway, seen as 203.0.113.7",
            "ok     IPv6 leaves through the gateway, with an address of this Mac's own, 2600:db8:0:1:ff:54:",
            "ok     path MTU: packets of 1400 bytes reach the gateway",
            "ok     DNS is asked through the tunnel; the resolver seen is 203.0.113.7",
            "The gateway's own page: http://10.66.0.1/",
            WORKS,
        ),
        calls=(
            f"zerotier-cli join {OURS}",
            f"zerotier-cli set {OURS} allowManaged=1",
            f"zerotier-cli set {OURS} allowGlobal=1",
            f"zerotier-cli set {OURS} allowDNS=1",
            f"zerotier-cli set {OURS} allowDefault=1",
            "networksetup -setdnsservers Wi-Fi 10.66.0.1",
            "networksetup -setdnsservers USB 10/100/1000 LAN 10.66.0.1",
            "networksetup -setdnsservers Thunderbolt Bridge 10.66.0.1",
        ),
        never=("pfctl -E", f"zerotier-cli set {OURS} allowGlobal=0"),
    ),
    "already joined, with its own settings": Case(
        {"networks": fake_mac_state.networks(OURS), "phases": ["ok"]},
        lines=(WORKS,),
        never=(f"zerotier-cli join {OURS}",),
    ),
    "another network has the default route": Case(
        {"networks": fake_mac_state.networks(OTHER)},
        lines=(f"the default route of the network {OTHER} is switched off here: there can be one", WORKS),
        calls=(f"zerotier-cli set {OTHER} allowDefault=0", f"zerotier-cli set {OURS} allowDefault=1"),
    ),
    "never let in": Case(
        {"phases": ["requesting", "denied"]},
        ("--wait", "5"),
        1,
        (
            "error: after 5 s still waiting: the owner of ztgate has to let this Mac in",
            "hint:  this Mac keeps asking; run join-macos.sh again, or with --leave to give up",
        ),
        never=("networksetup -setdnsservers Wi-Fi 10.66.0.1",),
    ),
    "routes taken only when they are allowed again (#1340)": Case(
        {"stubborn": True},
        lines=("waiting: macOS has not taken the routes of the network yet", WORKS),
        calls=(f"zerotier-cli set {OURS} allowGlobal=0", f"zerotier-cli set {OURS} allowGlobal=1"),
    ),
    "no IPv6 on the line, and none from the gateway": Case(
        {"line6": False, "gateway6": False},
        lines=("before: IPv4 198.51.100.20, IPv6 none, DNS", "none   IPv6: none through the", WORKS),
    ),
    "IPv6 on the line, and none from the gateway": Case(
        {"gateway6": False},
        status=1,
        lines=("LEAK   IPv6 leaves by en0, not through the tunnel; seen as 2001:db8:77::5",),
    ),
    "the same with the kill switch": Case(
        {"gateway6": False},
        ("--kill-switch",),
        lines=("none   IPv6: none through the gateway, and the kill switch stops it", WORKS),
    ),
    "the network has no DNS": Case(
        {"dns": False},
        status=1,
        lines=("LEAK   DNS: asks 192.168.1.1, not through the tunnel: the network has no DNS of its own",),
    ),
    "long packets are lost": Case(
        {"path": 1360},
        status=1,
        lines=("FAILED path MTU: packets of more than 1350 bytes are lost, the network says 1400",),
    ),
    "addresses in lines": Case({"answer": "fl=4f\nip=ADDRESS\nts=1.5"}, lines=("seen as 203.0.113.7", WORKS)),
    "addresses in JSON": Case({"answer": '{"ip": "ADDRESS", "v": 1}'}, lines=("seen as 203.0.113.7", WORKS)),
    "kill switch": Case(
        {},
        ("--kill-switch",),
        lines=("ok     kill switch: on (on)", WORKS),
        calls=(
            "launchctl bootstrap system",
            "pfctl -n -a com.apple/000",
            "pfctl -a com.apple/000",
            "pfctl -E",
            "pfctl -F states",
        ),
    ),
    "kill switch but the LAN": Case(
        {}, ("--kill-switch=lan",), lines=("ok     kill switch: on (lan)", WORKS)
    ),
    "not root": Case(
        {"uid": 501}, (), 1, ("error: only root can do this",), never=("zerotier-cli",), again=False
    ),
    "not a Mac": Case(
        {"uname": "Linux"}, (), 1, ("error: this script is for macOS",), never=("zerotier-cli",), again=False
    ),
    "ZeroTier does not run": Case(
        {"down": True}, (), 1, ("error: ZeroTier does not answer",), never=("zerotier-cli join",)
    ),
    "status of what was never set up": Case({}, ("--status",), 1, ("join-macos.sh has not been run here",)),
    "leave without having joined": Case({}, ("--leave",), 0, ("there is nothing to undo",)),
    "an unknown option": Case({}, ("--killswitch",), 2, ("error: unknown option --killswitch",)),
    "no number of seconds": Case(
        {}, ("--wait", "soon"), 2, ("error: --wait needs a number of seconds, not 'soon'",)
    ),
    "status and kill switch": Case(
        {}, ("--status", "--kill-switch"), 2, ("error: --status takes no kill switch",)
    ),
    "help": Case({}, ("--help",), 0, ("usage: sudo sh join-macos.sh",)),
}


def in_order(wanted: tuple[str, ...], text: str) -> None:
    at = 0
    for one in wanted:
        found = text.find(one, at)
        assert found >= 0, f"{one!r} is not in what follows:\n{text[at:]}"
        at = found + len(one)


# The one sh of macOS is bash, the other dash; what one of them would take differently is in a few runs.
BOTH = ("let in after a while", "another network has the default route", "kill switch but the LAN", "help")
RUNS = [*((name, "dash") for name in CASES), *((name, "bash") for name in BOTH)]


@pytest.mark.parametrize(("name", "shell"), RUNS)
def test_case(name: str, shell: str, tmp_path: Path) -> None:
    case = CASES[name]
    mac = Mac(tmp_path, shell, **case.before)
    before = mac.lasting()
    run = mac.run(*case.words)
    assert run.status == case.status, run.text
    in_order(case.lines, run.text)
    in_order(case.calls, "\n".join(mac.calls))
    for call in case.never:
        assert not [one for one in mac.calls if one.startswith(call)]
    if case.again:
        mac.put(down=False)
        assert mac.run("--leave").status == 0
        assert mac.lasting() == before


def test_without_zerotier(tmp_path: Path) -> None:
    mac = Mac(tmp_path, "dash")
    (tmp_path / "bin" / "zerotier-cli").unlink()
    run = mac.run()
    assert run.status == 1
    assert "error: ZeroTier is not installed\nhint:  https://www.zerotier.com/download/" in run.text


CHANGES = 13  # of a run with --kill-switch, beside another network


@pytest.mark.parametrize("moment", range(1, CHANGES + 2))
def test_stopped_at_any_moment(moment: int, tmp_path: Path) -> None:
    """kill -9 after each change: --leave brings back what was, and does so twice."""
    mac = Mac(tmp_path, "dash", networks=fake_mac_state.networks(OTHER), phases=["ok"], left=moment)
    before = mac.lasting()
    run = mac.run("--kill-switch")
    assert run.status == (-9 if moment <= CHANGES else 0), run.text
    assert mac.lasting() != before
    mac.put(left=0)
    assert "undone" in mac.run("--leave").text
    assert mac.lasting() == before
    assert "there is nothing to undo" in mac.run("--leave").text


def test_what_the_kill_switch_lets_out(tmp_path: Path) -> None:
    mac = Mac(tmp_path, "dash", phases=["ok"])
    mac.run("--kill-switch")
    rules = mac.state["pf"]["rules"]["com.apple/000.ztgate-member"].splitlines()[1:]
    assert rules == [
        "pass out quick on lo0 all",
        "pass out quick on feth2016 all",
        "pass out quick proto udp from any port { 9993, 20690, 50790 } to any",
        "pass out quick inet proto udp from any port 68 to any port 67",
        "pass out quick inet6 proto udp from any port 546 to any port 547",
        "pass out quick inet6 proto ipv6-icmp all icmp6-type { 131, 133, 135, 136, 143 }",
        "block return out quick all",
    ]
    mac.run("--no-kill-switch")
    assert mac.lasting()["pf"] == {"rules": {}, "tokens": []}


def test_after_a_reboot(tmp_path: Path) -> None:
    """pf has forgotten all, and ZeroTier is not there yet: the job brings the kill switch back without it."""
    mac = Mac(tmp_path, "dash", phases=["ok"])
    before = mac.lasting()
    mac.run("--kill-switch")
    rules = mac.state["pf"]["rules"]
    mac.put(pf={"rules": {}, "tokens": [], "given": 40}, down=True)
    mac.run("--repair")
    assert mac.state["pf"]["rules"] == rules
    assert mac.state["pf"]["tokens"] == ["7041"]
    mac.run("--repair")
    assert mac.state["pf"]["tokens"] == ["7041"]
    mac.put(down=False)
    assert mac.run("--leave").status == 0
    assert mac.lasting() == before


def test_a_network_that_was_left_meanwhile_is_not_joined_again(tmp_path: Path) -> None:
    mac = Mac(tmp_path, "dash", networks=fake_mac_state.networks(OTHER), phases=["ok"])
    mac.run()
    mac.put(networks={name: one for name, one in mac.state["networks"].items() if name != OTHER})
    assert mac.run("--leave").status == 0
    assert mac.state["networks"] == {}
