"""`ztgate doctor` on one gateway, whose links are broken in turn: it names that one, every time."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from lab import topology
from lab.checks import Scene, authorized_itself, boots, says_ready, want
from lab.isp import WAN
from lab.machine import Shell
from lab.retry import NotYet, retry
from lab.world import World, echo_url

Json = dict[str, Any]
# The WAN's link-local address (of its MAC address, RFC 4291 appendix A): it outlives most of what is broken.
LINK_LOCAL = f"fe80::5054:ff:fe00:10a%{WAN}"
TOKEN = "Zq8nYb4mKc1vRt7uWx2pLs9dFg3hJa5e"
FILE = "/boot/firmware/gateway.yaml"
RULES = "nft -f /var/lib/ztgate/nftables.nft"
NOTICED, MENDED = 120, 180  # seconds


@dataclass
class Bench:
    """The gateway on which things are broken, and what has to be known of it for that."""

    scene: Scene
    shell: Shell
    names: dict[str, str] = field(default_factory=dict)
    kept: Json = field(default_factory=dict)

    def run(self, command: str) -> str:
        """A shell command on the gateway; {wan}, {zt}, {mac} and {address} are its own."""
        return self.shell.run(self.fill(command), timeout=MENDED)

    def fill(self, command: str) -> str:
        for name, value in self.names.items():
            command = command.replace(f"{{{name}}}", value)
        return command

    def report(self, first: str = "true") -> Json:
        """What the doctor says right after a command."""
        said = self.run(f"{{ {first}; }} > /dev/null 2>&1; ztgate doctor --json || true")
        report: Json = json.loads(said)
        return report

    def all_hold(self) -> None:
        report = self.report()
        want(report["ok"], broken(report))


def broken(report: Json) -> str:
    """The verdicts that something is wrong: those that hold would hide them in a log that is cut."""
    return json.dumps([verdict for verdict in report["verdicts"] if not verdict["ok"]], indent=1)


Act = Callable[[Bench], None]


def nothing(_: Bench) -> None:
    """All of it happens on the gateway."""


def fault(bench: Bench, rules: str) -> None:
    """Packets that the ISP drops."""
    chain = f"type filter hook forward priority 0; {rules}\n"
    bench.scene.world.isp.host.run("nft", f"table inet fault {{ chain forward {{ {chain} }}\n}}")


def no_fault(bench: Bench) -> None:
    bench.scene.world.isp.host.run("nft", "delete table inet fault")


def forget(bench: Bench) -> None:
    """The ISP's router has to ask for every address anew."""
    bench.scene.world.isp.forget_neighbours()


def member(bench: Bench, **changes: Any) -> None:
    """Change the gateway's membership at the controller; what it was is kept."""
    controller, scene = bench.scene.world.controller, bench.scene
    bench.kept["member"] = controller.member(scene.nwid, scene.node)
    controller.node.api("POST", f"/controller/network/{scene.nwid}/member/{scene.node}", changes)


def member_as_before(bench: Bench) -> None:
    scene, kept = bench.scene, bench.kept["member"]
    changes = {key: kept[key] for key in ("authorized", "ipAssignments")}
    scene.world.controller.node.api("POST", f"/controller/network/{scene.nwid}/member/{scene.node}", changes)


def without_default_route(bench: Bench) -> None:
    scene, controller = bench.scene, bench.scene.world.controller
    bench.kept["routes"] = controller.network(scene.nwid)["routes"]
    routes = [row for row in bench.kept["routes"] if row["target"] != "0.0.0.0/0"]
    controller.node.api("POST", f"/controller/network/{scene.nwid}", {"routes": routes})


def routes_as_before(bench: Bench) -> None:
    changes = {"routes": bench.kept["routes"]}
    bench.scene.world.controller.node.api("POST", f"/controller/network/{bench.scene.nwid}", changes)


@dataclass(frozen=True)
class Break:
    """What is broken: an act in the world, then a command on the gateway, each undone in the same order.

    The command is given again with each try, as some of it heals by itself.
    """

    name: str
    link: str
    command: str = "true"
    mend: str = "true"
    act: Act = nothing
    undo: Act = nothing


def until(condition: str) -> str:
    return f"until {condition}; do sleep 0.5; done"


def dropped(name: str, link: str, rules: str, command: str = "true", mend: str = "true") -> Break:
    """Packets that are dropped at the ISP."""
    return Break(name, link, command, mend, partial(fault, rules=rules), no_fault)


BREAKS = (
    Break("no IPv4 address", "address", "ip -4 addr flush dev {wan}", "networkctl reconfigure {wan}"),
    Break(
        "a router that is not there",
        "router",
        "ip route replace default via 203.0.1.254 dev {wan}",
        "ip route del default via 203.0.1.254 dev {wan}",
    ),
    Break(
        "clock in the past",
        "clock",
        "systemctl stop systemd-timesyncd; rm -f /run/systemd/timesync/synchronized; date -s 2020-01-01",
        "systemctl start systemd-timesyncd",
    ),
    Break(
        "a DNS server that is not there",
        "dns",
        "resolvectl dns {wan} 203.0.1.254; resolvectl flush-caches",
        "resolvectl revert {wan}",
    ),
    Break("no tun device", "tun", "mv /dev/net/tun /dev/net/tun.away", "mv /dev/net/tun.away /dev/net/tun"),
    Break(
        "ZeroTier is stopped",
        "zerotier",
        "systemctl stop zerotier-one",
        "systemctl start zerotier-one; ztgate apply",
    ),
    Break(
        "ZeroTier hangs",
        "zerotier",
        "systemctl kill --signal=STOP zerotier-one",
        "systemctl kill --signal=CONT zerotier-one",
    ),
    dropped(
        "UDP 9993 is blocked",
        "zerotier",
        f'iifname "{WAN}" udp dport 9993 drop; oifname "{WAN}" udp sport 9993 drop;',
        "systemctl restart zerotier-one",
        "ztgate apply",
    ),
    Break(
        "deauthorized",
        "membership",
        until("zerotier-cli listnetworks | grep -q ACCESS_DENIED"),
        act=partial(member, authorized=False),
        undo=member_as_before,
    ),
    Break(
        "another MAC address",
        "mac",
        "ip link set {zt} address 02:00:00:00:00:01",
        "ip link set {zt} address {mac}",
    ),
    Break(
        "the address is taken away",
        "addresses",
        until("! ip addr show dev {zt} | grep -q 'inet {address}/'"),
        act=partial(member, ipAssignments=[]),
        undo=member_as_before,
    ),
    Break(
        "the default route is removed",
        "default routes",
        until("! zerotier-cli -j listnetworks | grep -q 0.0.0.0/0"),
        act=without_default_route,
        undo=routes_as_before,
    ),
    Break(
        "no route to members",
        "kernel routes",
        "ip route del 10.66.0.0/24 dev {zt}",
        "ip route replace 10.66.0.0/24 dev {zt} proto kernel scope link src {address}",
    ),
    Break(
        "no forwarding", "forwarding", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1"
    ),
    Break("no rules", "firewall", "nft delete table inet ztgate", RULES),
    Break(
        "other rules",
        "firewall",
        "nft rename chain inet ztgate $(nft list table inet ztgate | grep -o 'rev_[0-9a-f]*') rev_0",
        RULES,
    ),
    Break("no address translation", "nat", "nft flush chain inet ztgate postrouting", RULES),
    dropped("no internet behind the ISP", "internet", f'iifname "{WAN}" oifname "to-internet" drop;'),
    dropped("no IPv6 internet", "ipv6", f'meta nfproto ipv6 iifname "{WAN}" oifname "to-internet" drop;'),
    Break("ndppd is stopped", "ndp proxy", "systemctl stop ztgate-ndppd", "systemctl start ztgate-ndppd"),
    Break(
        "no proxy entries",
        "ndp proxy",
        "systemctl stop ztgate-ndppd; for a in $(ip -6 neigh show proxy | cut -d' ' -f1); do "
        "ip -6 neigh del proxy $a dev {wan}; done",
        "ztgate apply",
        forget,
    ),
    Break(
        "nobody answers solicitations",
        "ndp proxy",
        # Neither the kernel nor ndppd, which asks members and can do it alone.
        "systemctl kill --signal=STOP ztgate-ndppd; "
        "sysctl -qw net.ipv6.conf.all.proxy_ndp=0 net.ipv6.conf.{wan}.proxy_ndp=0",
        "systemctl kill --signal=CONT ztgate-ndppd; "
        "sysctl -qw net.ipv6.conf.all.proxy_ndp=1 net.ipv6.conf.{wan}.proxy_ndp=1",
        forget,
    ),
    Break("a small MTU on the WAN", "mtu", "ip link set {wan} mtu 1400", "ip link set {wan} mtu 1500"),
    dropped("large packets are dropped", "mtu", f'iifname "{WAN}" meta length > 1400 drop;'),
    dropped(
        "a member that is cut off",
        "members",
        'iifname "to-laptop" drop; oifname "to-laptop" drop;',
    ),
    Break("the resolver is stopped", "resolver", "systemctl stop ztgate-dns", "systemctl start ztgate-dns"),
    dropped(
        "names are asked for in vain",
        "resolver",
        f'iifname "{WAN}" oifname "to-internet" meta l4proto {{ tcp, udp }} th dport 53 drop;',
        "systemctl restart ztgate-dns",
    ),
    Break(
        "the token is there again",
        "token",
        f"cp -n {FILE} /run/; sed -i 's/ token: .*/ token: {TOKEN}/' {FILE}",
        f"cp /run/gateway.yaml {FILE}",
    ),
)


@pytest.fixture(scope="module")
def bench(world: World) -> Iterator[Bench]:
    """A gateway that is ready, with a member that goes out through it; nothing heals it by itself."""
    with Scene(world) as scene:
        for check in (boots, says_ready, authorized_itself):
            check(scene)
        yield ready_to_break(scene)


def ready_to_break(scene: Scene) -> Bench:
    """A member goes out, and what would heal the gateway is stopped."""
    world = scene.world
    laptop = world.member("laptop")
    laptop.wait_tunnelled(scene.nwid)
    retry(lambda: laptop.get(echo_url(4)), 60, "an IPv4 answer from the internet")
    bench = Bench(scene, Shell(world.isp.host, LINK_LOCAL, world.key, world.work / "ssh" / "control6"))
    bench.run("systemctl stop ztgate.timer ztgate-watch.path ztgate-watch.service ztgate.service")
    status = json.loads(bench.run("ztgate status --json"))
    zt = str(json.loads(bench.run("zerotier-cli -j listnetworks"))[0]["portDeviceName"])
    bench.names = {"wan": status["wan"]["interface"], "zt": zt, "address": status["address"]}
    bench.names["mac"] = bench.run("cat /sys/class/net/{zt}/address").strip()
    return bench


def test_all_links_hold(bench: Bench) -> None:
    """Not at once: clock and ZeroTier's roots need a moment after the boot."""
    retry(bench.all_hold, 60, "a clean bill of health")
    seen = {verdict["name"]: verdict["evidence"] for verdict in bench.report()["verdicts"]}
    assert f"{topology.WAN_IPV4} > 9.9.9.9 seen on " in seen["nat"]
    assert "new IPv4" in seen["firewall"]
    assert "1500 bytes pass" in seen["mtu"]
    assert "answers at 10.66.0." in seen["members"]
    assert "example.com validated, dnssec-failed.org refused" in seen["resolver"]


def test_the_cable_is_pulled(bench: Bench) -> None:
    """Nobody can log in meanwhile, so it is asked beforehand, and answers on the console."""
    wait = "while grep -q 1 /sys/class/net/{wan}/carrier; do sleep 0.2; done"
    ask = "ztgate doctor --json > /run/doctor.json; echo 'the doctor has looked' > /dev/console"
    bench.run(f'systemd-run --no-block --collect sh -c "{wait}; {ask}"')
    bench.scene.gateway.link(up=False)
    try:
        bench.scene.gateway.expect("the doctor has looked", NOTICED)
    finally:
        bench.scene.gateway.link(up=True)
    report = json.loads(retry(lambda: bench.run("cat /run/doctor.json"), MENDED, "a way in"))
    assert report["first"] == "link", report
    retry(bench.all_hold, MENDED, "a clean bill of health")


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.name.replace(" ", "-"))
def test_break(bench: Bench, case: Break) -> None:
    """The broken link is the headline; mended, all hold."""

    def noticed() -> Json:
        report = bench.report(case.command)
        if report["ok"]:
            raise NotYet("the doctor sees nothing")
        return report

    case.act(bench)
    try:
        report = retry(noticed, NOTICED, case.name)
    finally:
        case.undo(bench)
        bench.run(case.mend)
    assert report["first"] == case.link, broken(report)
    retry(bench.all_hold, MENDED, "a clean bill of health")
