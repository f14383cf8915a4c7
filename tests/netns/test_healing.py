"""The firewall, flushed by hand: nothing is forwarded meanwhile, and ztgate-watch brings it back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ztgate.actions import Command
from ztgate.steps import gate

from lab.retry import NotYet, retry
from lab.scenario import Scenario
from tests.netns.gateway_world import INTERNET4, INTERNET6, ISP4, MEMBER4, MEMBER6, SUBNET, WAN4, WAN6, World

LIBEXEC = Path(__file__).parents[2] / "overlays/common/usr/libexec"
RUN = Path("/run/ztgate")  # of the sandbox
# /var/lib is the host's: the watcher gets one of its own, with the rules that ztgate has saved there.
OWN = """\
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/ztgate && cp {rules} /var/lib/ztgate/nftables.nft || exit
touch /run/ztgate/status.json
"{libexec}/ztgate-rules" load && exec "{libexec}/ztgate-watch"
"""
# What is done to the rules, and whether members still get out: a part of them may be whole.
BROKEN = {
    "everything flushed": "flush ruleset",
    "the table deleted": "delete table inet ztgate",
    "what forwards deleted": "delete chain inet ztgate forward",
    "what forwards emptied": "flush chain inet ztgate forward",
    "address translation deleted": "delete chain inet ztgate postrouting",
    "the mark deleted": "delete chain inet ztgate prerouting",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("healing"))
    world.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    world.isp.run("ip", "route", "add", "10.66.0.0/24", "via", WAN4)
    world.serve(world.isp, "tcp", 80)
    world.serve(world.member, "tcp", 22)
    world.load()
    # As the image has it (overlays/common/etc/sysctl.d/60-ztgate.conf), and as the step sets it.
    world.gw.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2", f"{gate.VALID}=1")
    for action in gate.plan(("ztlab0", "wan0"), frozenset()):
        assert isinstance(action, Command)
        world.gw.run(*action.argv)
    count = "iifname to-gw ip saddr 10.66.0.0/24 counter"
    world.isp.run(
        "nft", f"table inet seen {{ chain in {{ type filter hook prerouting priority -300; {count}\n}}\n}}"
    )
    RUN.mkdir(exist_ok=True)
    yield world
    world.stop()


def leaks(world: World) -> list[str]:
    """What gets where nobody may."""
    found = [a for a in (MEMBER4, MEMBER6) if world.ask(world.isp, "tcp", a, 22)]
    before = seen(world)
    world.ask(world.member, "tcp", INTERNET4, 80)
    return [*found, *(["a private address"] if seen(world) > before else [])]


def seen(world: World) -> int:
    """Packets with members' private addresses, outside."""
    return int(world.isp.run("nft", "list", "table", "inet", "seen").split(" packets ")[1].split()[0])


def members_go_out(world: World) -> None:
    for address, source in ((INTERNET4, ""), (INTERNET6, MEMBER6)):
        if not world.ask(world.member, "tcp", address, 80, source):
            raise NotYet(f"no answer from {address}")


@pytest.mark.parametrize("command", BROKEN.values(), ids=BROKEN)
def test_nothing_gets_through_what_is_left(world: World, command: str) -> None:
    world.load()
    members_go_out(world)
    world.gw.run("nft", command)
    assert leaks(world) == []
    if "flush ruleset" in command or "table" in command:
        assert world.ask(world.member, "tcp", INTERNET6, 80, MEMBER6) == "", "nobody looks at it"
        assert world.gw.succeeds("ping", "-c1", "-W2", ISP4), "the gateway itself goes on"
        assert world.isp.succeeds("ping", "-c1", "-W2", WAN4), "and is reached"


def test_without_the_gate_it_would(world: World) -> None:
    """What the tests above would show if there were none: they do look."""
    world.load()
    for family in ("-4", "-6"):
        for name in ("ztlab0", "wan0"):
            world.gw.run("ip", family, "rule", "del", "pref", "90", "iif", name)
    world.gw.run("nft", "flush ruleset")
    assert leaks(world) == [MEMBER4, MEMBER6, "a private address"]
    for action in gate.plan(("ztlab0", "wan0"), frozenset()):
        assert isinstance(action, Command)
        world.gw.run(*action.argv)


@pytest.mark.scenario("power", "firewall rules flushed by hand", within=30)
def test_it_comes_back(world: World, scenario: Scenario) -> None:
    world.load()
    script = OWN.format(rules=world.work / "rules.nft", libexec=LIBEXEC)
    world.gw.start("watch", "unshare", "--mount", "sh", "-c", script)
    marked("its start")
    for number in scenario.rounds(short=len(BROKEN)):
        name, command = list(BROKEN.items())[number % len(BROKEN)]
        members_go_out(world)
        with scenario.recovery():
            world.gw.run("nft", command)
            marked(name)
            retry(lambda: members_go_out(world), 30, f"members after: {name}")
        assert int((RUN / "healed/rules").read_text()) == number + 1
        for leak in leaks(world):
            scenario.lost(f"{name}: {leak}")


@pytest.mark.scenario("power", "forwarding switched off by hand", within=30)
def test_forwarding_comes_back(world: World, scenario: Scenario) -> None:
    for _ in scenario.rounds(short=1):
        with scenario.recovery():
            world.gw.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
            marked("forwarding")
            retry(lambda: members_go_out(world), 30, "members after forwarding was switched off")
    assert int((RUN / "healed/forwarding").read_text()) >= 1


def marked(what: str) -> None:
    """Wait for the mark that has ztgate look, and take it away."""

    def check() -> None:
        if not (RUN / "changed").exists():
            raise NotYet("there is no mark")

    retry(check, 30, f"a mark after {what}")
    (RUN / "changed").unlink()
