"""A gateway whose disk, configuration, kernel or process 1 fails: it is one again, or says what it lacks."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.checks import want
from lab.machine import PANIC
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import FAILED, READY, World

from . import bench as benches
from .bench import PATIENCE, Bench

pytestmark = pytest.mark.soak
BOOTED = 600  # seconds from power-on until members are served, under emulation beside other machines


@pytest.fixture(scope="module")
def bench(world: World) -> Iterator[Bench]:
    yield from benches.made(world, "breakdowns", watchdog=True)


EMPTIED = "rm -f /fill /rest"


@pytest.fixture(autouse=True)
def room(bench: Bench) -> None:
    """What fills the disk is gone, whatever became of the test that did it."""
    bench.run(EMPTIED)


@dataclass(frozen=True)
class Damage:
    """What is done, what its cure is counted as, and what holds on the gateway after the next boot."""

    command: str
    counted: str
    holds: str


FULL = "warning: the disk is full"
FILL = "fallocate -l $(df --output=avail -B1 / | tail -1) /fill; cat /dev/zero > /rest || true; sync"
# Each is done, then the power is cut: afterwards it is the same node, serves members, and says what it must.
DISKS = {
    "the disk is full": Damage(
        FILL,
        "",
        f"ztgate status | grep '{FULL}' && {EMPTIED}",
    ),
    "files are damaged": Damage(
        "cd /var/lib/ztgate; for f in ../zerotier-one/identity.secret state.json ledger.json status.json; "
        "do head -c 300 /dev/urandom > $f; done; : > nftables.nft; sync",
        "identity",
        "nft -c -f /var/lib/ztgate/nftables.nft && grep -q rev_ /var/lib/ztgate/nftables.nft",
    ),
    "files are empty": Damage(
        "for f in /var/lib/zerotier-one/identity.* /var/lib/ztgate/*.json /var/lib/ztgate-dns/root.key; "
        "do : > $f; done; sync",
        "identity",
        "python3 -m json.tool /var/lib/ztgate/state.json",
    ),
}


@pytest.mark.scenario("power", "a full disk, damaged and empty files, then a power cut", within=BOOTED)
def test_it_boots_on_such_a_disk(bench: Bench, scenario: Scenario) -> None:
    node = bench.run("cut -d: -f1 /var/lib/zerotier-one/identity.public")
    for number in scenario.rounds(short=len(DISKS)):
        name, damage = list(DISKS.items())[number % len(DISKS)]
        print(name)
        bench.run(damage.command)
        if damage.command == FILL:
            told_of_a_full_disk(bench)
        bench.loses_power()
        with scenario.recovery():
            bench.starts()
            retry(bench.served, PATIENCE, f"members after: {name}")
        bench.run(damage.holds)
        assert bench.run("cut -d: -f1 /var/lib/zerotier-one/identity.secret") == node
        assert not damage.counted or bench.healed().get(damage.counted) == 1


def told_of_a_full_disk(bench: Bench) -> None:
    """The console says so, and the gateway, which has rules to load and a status to write, goes on."""
    bench.run("nft flush ruleset; systemctl start ztgate")
    bench.gateway.expect(f"ztgate: {FULL}")
    retry(bench.served, PATIENCE, "members on a full disk")
    retry(lambda: bench.run(f"ztgate status | grep '{FULL}'"), PATIENCE, "the status, as that run ends")


# What writes the file that a power cut, a worn-out card or an editor may leave.
SPOILT = ("head -c 2000 /dev/urandom >", ": >", "printf 'network: [' >")


@pytest.mark.scenario("power", "a gateway.yaml that is damaged or empty, then a power cut", within=BOOTED)
def test_it_boots_with_a_bad_configuration(bench: Bench, scenario: Scenario) -> None:
    """One clear sentence on the console, and members' IPv4 goes on; with the file back all is as before."""
    bench.run("cp /boot/firmware/gateway.yaml /root/gateway.yaml")
    for number in scenario.rounds(short=len(SPOILT)):
        bench.run(f"{SPOILT[number % len(SPOILT)]} /boot/firmware/gateway.yaml; sync")
        bench.loses_power()
        with scenario.recovery():
            bench.gateway.start()
            reason = bench.gateway.expect(
                r"ztgate: (failed|waiting): (?P<reason>[^\r\n]+)(?=[\r\n])", never=READY
            )["reason"]
            retry(lambda: bench.served(4), PATIENCE, "members")
        assert "gateway.yaml" in reason
        bench.run("cp /root/gateway.yaml /boot/firmware/gateway.yaml; sync; systemctl start ztgate")
        bench.gateway.expect(READY)
        retry(bench.served, PATIENCE, "members, with the file back")


SAYS_SO = "ztgate status | grep -A99 -m1 ': ready$' | grep 'warning: the disk is read-only'"


@pytest.mark.scenario("power", "a disk that turns read-only", within=BOOTED)
def test_a_disk_that_turns_read_only(bench: Bench, scenario: Scenario) -> None:
    """Remounted so by the kernel, with the rules flushed at once."""
    for _ in scenario.rounds(short=1):
        bench.run("echo u > /proc/sysrq-trigger")
        retry(lambda: bench.run("findmnt -no OPTIONS / | grep -q ^ro"), 60, "a read-only disk")
        with scenario.recovery():
            bench.run("nft flush ruleset; systemctl start ztgate")
            bench.gateway.expect("ztgate: warning: the disk is read-only")
            retry(bench.served, PATIENCE, "members")
        retry(lambda: bench.run(SAYS_SO), PATIENCE, "the status, as that run ends")
        bench.loses_power()
        bench.starts()


def test_the_journal_is_bounded(bench: Bench) -> None:
    """More than it may hold, from a program that never stops."""
    bench.run("head -c 100M /dev/urandom | base64 -w 900 | systemd-cat -t flood; journalctl --sync", 900)
    assert int(bench.run("du -sm /var/log/journal").split()[0]) <= 72


# Process 1 is held as a debugger would hold it; a kernel that has panicked is told not to restart by itself.
HANGS = {
    "process 1 hangs": "systemd-run -q python3 -c "
    "'import ctypes, time; ctypes.CDLL(None).ptrace(16, 1, None, None); time.sleep(1000)'",
    "the kernel hangs": "sysctl -qw kernel.panic=0; "
    "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &",
}


BOOT = "/proc/sys/kernel/random/boot_id"


@pytest.mark.scenario("power", "a machine that hangs is reset", within=BOOTED)
def test_a_machine_that_hangs_is_reset(bench: Bench, scenario: Scenario) -> None:
    state = "cat /sys/class/watchdog/watchdog0/state /sys/class/watchdog/watchdog0/timeout"
    for number in scenario.rounds(short=len(HANGS)):
        retry(
            lambda: want(bench.run(state).split() == ["active", "60"], "it is not armed"), 60, "the watchdog"
        )
        hang = list(HANGS.values())[number % len(HANGS)]
        before = bench.run(f"cat {BOOT}; sync; {hang}")
        bench.shell.leave()
        with scenario.recovery():
            if "panic" in hang:
                bench.gateway.expect(PANIC)
                bench.gateway.expect(f"end {PANIC}")  # the kernel says it twice
            bench.gateway.expect(READY, never=FAILED)
            retry(bench.served, PATIENCE, "members")
        assert bench.run(f"cat {BOOT}") != before, "another boot"
