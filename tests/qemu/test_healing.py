"""One gateway on which things go wrong in turn: it is well again without a hand, and has counted it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lab.checks import want
from lab.machine import PANIC, Machine, Shell
from lab.member import Member
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import FAILED, LIVED_IN, READY, World, echo_url

pytestmark = pytest.mark.soak
PATIENCE = 120  # seconds; a scenario's own limit is the one that counts
# On an emulated processor that others use, too; what is measured on a free one is in docs/reliability.md.
WITHIN = 60


@dataclass
class Bench:
    """The gateway, and a member that goes out through it."""

    world: World
    nwid: str
    gateway: Machine
    shell: Shell
    laptop: Member
    names: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """A shell command on the gateway; {zt} and {wan} are its interfaces."""
        for name, value in self.names.items():
            command = command.replace(f"{{{name}}}", value)
        return self.shell.run(command)

    def healed(self) -> dict[str, int]:
        """How often each, as `ztgate status` has it."""
        said = self.run("ztgate status")
        found = re.search("healed since the boot: (.*)", said)
        return {
            name: int(number) for name, number in re.findall(r"([a-z-]+) ([0-9]+)", found[1] if found else "")
        }

    def served(self, *families: int) -> None:
        """The member reaches the internet; over both families, if none is named."""
        for family in families or (4, 6):
            self.laptop.get(echo_url(family), timeout=3)


@pytest.fixture(scope="module")
def bench(world: World) -> Iterator[Bench]:
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = world.gateway("healing", world.config(nwid), watchdog=True)
    gateway.start()
    gateway.expect(READY, never=FAILED)
    laptop = world.member("laptop")
    world.controller.authorize(nwid, laptop.node.address)
    laptop.join(nwid)
    laptop.wait_tunnelled(nwid)
    made = Bench(world, nwid, gateway, world.shell(), laptop)
    zt = made.run("ls /sys/class/net | grep ^zt").strip()
    made.names = {"zt": zt, "wan": "eth0"}
    retry(made.served, PATIENCE, "the member, at first")
    yield made
    gateway.close()


@dataclass(frozen=True)
class Hardship:
    """What is done, what it is counted as, and what holds on the gateway when it is over.

    before: what makes ready for it; nothing is wrong yet.
    """

    command: str
    counted: str
    holds: str = "true"
    before: str = "true"


# ztgate is at work for seconds only: it is held as soon as it has told systemd how long it may be silent.
AT_WORK = """\
systemctl restart ztgate
until [ "$(systemctl show -P WatchdogUSec ztgate)" = 20s ]; do sleep 0.1; done
"""
HELD = AT_WORK + 'kill -STOP "$(systemctl show -P MainPID ztgate)"'
# Its known fault, on an interface that is there for this only; ztgate is kept from mending it first.
SPIN = """\
systemctl stop ztgate-watch.path ztgate.timer
ip link add spin0 type dummy && ip link set spin0 up
sed -i s/{wan}/spin0/ /run/ztgate/ndppd.conf && systemctl restart ztgate-ndppd
until ip link show spin0 | grep -q ALLMULTI; do sleep 0.1; done
"""
MENDED = """\
systemctl start ztgate-watch.path ztgate.timer
grep -q {wan} /run/ztgate/ndppd.conf && systemctl is-active ztgate-ndppd
"""
HARDSHIPS = {
    "ztgate hangs": Hardship(HELD, "ztgate", "! grep -q '^State:.T' /proc/[0-9]*/status"),
    "zerotier-one is killed": Hardship("systemctl kill -s KILL zerotier-one", "zerotier-one"),
    "zerotier-one hangs": Hardship("systemctl kill -s STOP zerotier-one", "zerotier-one"),
    "rules are flushed": Hardship("nft flush ruleset", "rules", "nft list chain inet ztgate forward"),
    "forwarding is switched off": Hardship("sysctl -qw net.ipv4.ip_forward=0", "forwarding"),
    "the members' interface is down": Hardship("ip link set {zt} down", "interface"),
    "the members' interface is deleted": Hardship("ip link delete {zt}", "interface"),
    "the members' route is lost": Hardship("ip route del 10.66.0.0/24 dev {zt}", "routes"),
    "the WAN's default route is lost": Hardship("ip -4 route del default", "wan-route"),
    "Unbound is killed": Hardship(
        "systemctl kill -s KILL ztgate-dns", "resolver", "systemctl is-active ztgate-dns"
    ),
    "Unbound is stopped": Hardship("systemctl stop ztgate-dns", "resolver", "systemctl is-active ztgate-dns"),
    "ndppd spins": Hardship("ip link delete spin0", "ndppd", MENDED, before=SPIN),
    "ndppd is killed": Hardship(
        "systemctl kill -s KILL ztgate-ndppd", "ndppd", "systemctl is-active ztgate-ndppd"
    ),
}


COUNT = "number() {{ cat /run/ztgate/healed/{kind} 2>/dev/null || echo 0; }}\n"


def get_over(bench: Bench, scenario: Scenario, hardship: Hardship) -> None:
    """Do it, and wait until all is well and it has been counted."""
    count = COUNT.format(kind=hardship.counted)
    bench.run(hardship.before)
    before = int(bench.run(f"{count}number; {hardship.command}").split()[0])

    def well() -> None:
        bench.run(
            f"{count}[ $(number) -gt {before} ] || {{ echo it was not counted; exit 1; }}\n{hardship.holds}"
        )
        bench.served()

    with scenario.recovery():
        retry(well, PATIENCE, hardship.command)


@pytest.mark.scenario("power", "programs that hang or end, settings lost", within=WITHIN)
def test_it_heals(bench: Bench, scenario: Scenario) -> None:
    done: Counter[str] = Counter()
    for number in scenario.rounds(short=len(HARDSHIPS)):
        name, hardship = list(HARDSHIPS.items())[number % len(HARDSHIPS)]
        print(name)
        try:
            get_over(bench, scenario, hardship)
        except Exception as error:  # the others are to be tried all the same
            scenario.lost(f"{name}: {error}")
            retry(bench.served, PATIENCE, f"members after: {name}")
        done[hardship.counted] += 1
        worst = max(float(scenario.record.figures.get(name, 0)), scenario.record.recovered[-1])
        scenario.figure(f"{name}, seconds", worst)
    shown = bench.healed()
    if missing := {kind: count for kind, count in done.items() if shown.get(kind, 0) < count}:
        scenario.lost(f"counts: the status has {shown}, and there were more of {missing}")


FILL = "fallocate -l $(df --output=avail -B1 / | tail -1) /fill; cat /dev/zero > /rest || true; sync"
# Each is done, then the power is cut: afterwards it is the same node, serves members, and says what it must.
DISKS = {
    "the disk is full": Hardship(
        FILL,
        "",
        "ztgate status | grep 'warning: the disk is full' && rm -f /fill /rest",
    ),
    "files are damaged": Hardship(
        "cd /var/lib/ztgate; for f in ../zerotier-one/identity.secret state.json ledger.json status.json; "
        "do head -c 300 /dev/urandom > $f; done; : > nftables.nft; sync",
        "identity",
        "nft -c -f /var/lib/ztgate/nftables.nft && grep -q rev_ /var/lib/ztgate/nftables.nft",
    ),
    "files are empty": Hardship(
        "for f in /var/lib/zerotier-one/identity.* /var/lib/ztgate/*.json /var/lib/ztgate-dns/root.key; "
        "do : > $f; done; sync",
        "identity",
        "python3 -m json.tool /var/lib/ztgate/state.json",
    ),
}


@pytest.mark.scenario("power", "a full disk, damaged and empty files, then a power cut", within=600)
def test_it_boots_on_such_a_disk(bench: Bench, scenario: Scenario) -> None:
    node = bench.run("cut -d: -f1 /var/lib/zerotier-one/identity.public")
    for number in scenario.rounds(short=len(DISKS)):
        name, hardship = list(DISKS.items())[number % len(DISKS)]
        print(name)
        bench.run(hardship.command)
        if hardship.command == FILL:
            told_of_a_full_disk(bench)
        bench.shell.leave()
        bench.gateway.cut_power()
        with scenario.recovery():
            bench.gateway.start()
            bench.gateway.expect(READY, never=FAILED)
            retry(bench.served, PATIENCE, f"members after: {name}")
        bench.run(hardship.holds)
        assert bench.run("cut -d: -f1 /var/lib/zerotier-one/identity.secret") == node
        assert not hardship.counted or bench.healed().get(hardship.counted) == 1


def told_of_a_full_disk(bench: Bench) -> None:
    """The console says so, and the gateway, which has rules to load and a status to write, goes on."""
    bench.run("nft flush ruleset; systemctl start ztgate")
    bench.gateway.expect("ztgate: warning: the disk is full")
    retry(bench.served, PATIENCE, "members on a full disk")
    bench.run("ztgate status | grep 'warning: the disk is full'")


# What writes the file that a power cut, a worn-out card or an editor may leave.
SPOILT = ("head -c 2000 /dev/urandom >", ": >", "printf 'network: [' >")


@pytest.mark.scenario("power", "a gateway.yaml that is damaged or empty, then a power cut", within=600)
def test_it_boots_with_a_bad_configuration(bench: Bench, scenario: Scenario) -> None:
    """One clear sentence on the console, and members' IPv4 goes on; with the file back all is as before."""
    bench.run("cp /boot/firmware/gateway.yaml /root/gateway.yaml")
    for number in scenario.rounds(short=len(SPOILT)):
        bench.run(f"{SPOILT[number % len(SPOILT)]} /boot/firmware/gateway.yaml; sync")
        bench.shell.leave()
        bench.gateway.cut_power()
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


@pytest.mark.scenario("power", "a disk that turns read-only", within=WITHIN)
def test_a_disk_that_turns_read_only(bench: Bench, scenario: Scenario) -> None:
    """Remounted so by the kernel, with the rules flushed at once."""
    for _ in scenario.rounds(short=1):
        bench.run("echo u > /proc/sysrq-trigger")
        retry(lambda: bench.run("findmnt -no OPTIONS / | grep -q ^ro"), 60, "a read-only disk")
        with scenario.recovery():
            bench.run("nft flush ruleset; systemctl start ztgate")
            bench.gateway.expect("ztgate: warning: the disk is read-only")
            retry(bench.served, PATIENCE, "members")
        status = bench.run("ztgate status")
        assert "ready" in status.splitlines()[0] and "warning: the disk is read-only" in status
        bench.shell.leave()
        bench.gateway.cut_power()
        bench.gateway.start()
        bench.gateway.expect(READY, never=FAILED)


def test_the_journal_is_bounded(bench: Bench) -> None:
    """More than it may hold, from a program that never stops."""
    bench.run("head -c 100M /dev/urandom | base64 -w 900 | systemd-cat -t flood; journalctl --sync")
    assert int(bench.run("du -sm /var/log/journal").split()[0]) <= 72


# Process 1 is held as a debugger would hold it; a kernel that has panicked is told not to restart by itself.
HANGS = {
    "process 1 hangs": "systemd-run -q python3 -c "
    "'import ctypes, time; ctypes.CDLL(None).ptrace(16, 1, None, None); time.sleep(1000)'",
    "the kernel hangs": "sysctl -qw kernel.panic=0; "
    "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &",
}


BOOT = "/proc/sys/kernel/random/boot_id"


@pytest.mark.scenario("power", "a machine that hangs is reset", within=600)
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
