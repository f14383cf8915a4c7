"""One gateway on which things go wrong in turn: it is well again without a hand, and has counted it.

Half a minute is what it may take, by the gateway's own clock: its processor executes one instruction in a
nanosecond (QEMU's -icount), about as fast as a small VPS. By another clock this would measure how
busy the machine is that emulates it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.checks import want
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import World

from . import bench as benches
from .bench import Bench

pytestmark = pytest.mark.soak
PATIENCE = 600  # seconds by our clock
WITHIN = 30


@pytest.fixture(scope="module")
def bench(world: World) -> Iterator[Bench]:
    for bench in benches.made(world, "healing", counted=True):
        # Its clock is slower than ours: nobody is to put it forward while something is measured by it.
        bench.run("systemctl stop systemd-timesyncd")
        yield bench


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
systemctl stop ztgate-watch.path ztgate.timer ztgate
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


# In one command, and its last word is when: each connection costs the gateway time.
STATE = "echo $(cat /run/ztgate/healed/{kind} 2>/dev/null || echo 0) $(cut -d' ' -f1 /proc/uptime)\n"


def get_over(bench: Bench, scenario: Scenario, name: str) -> None:
    """Do it, and wait until all is well and it has been counted; first the member, as it asks for less."""
    hardship = HARDSHIPS[name]
    state = STATE.format(kind=hardship.counted)
    bench.run(hardship.before)
    before, began, *_ = bench.run(f"{state}{hardship.command}").split()

    def well() -> float:
        bench.served()
        now, ended, *_ = bench.run(f"{state}{hardship.holds}").split()
        want(int(now) > int(before), "it was not counted")
        return float(ended)

    took = retry(well, PATIENCE, name) - float(began)
    scenario.figure(f"{name}, worst", f"{max(took, seconds_of(scenario, name)):.1f} s")
    scenario.recovered(took)


def seconds_of(scenario: Scenario, name: str) -> float:
    """The worst of this one so far."""
    return float(str(scenario.record.figures.get(f"{name}, worst", "0 s")).split()[0])


@pytest.mark.scenario("power", "programs that hang or end, settings lost", within=WITHIN)
def test_it_heals(bench: Bench, scenario: Scenario) -> None:
    done: Counter[str] = Counter()
    for number in scenario.rounds(short=len(HARDSHIPS)):
        name = list(HARDSHIPS)[number % len(HARDSHIPS)]
        try:
            get_over(bench, scenario, name)
        except Exception as error:  # the others are to be tried all the same
            scenario.lost(f"{name}: {error}")
            retry(bench.served, PATIENCE, f"members after: {name}")
        done[HARDSHIPS[name].counted] += 1
    shown = bench.healed()
    if missing := {kind: count for kind, count in done.items() if shown.get(kind, 0) < count}:
        scenario.lost(f"counts: the status has {shown}, and there were more of {missing}")
