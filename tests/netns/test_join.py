"""join.sh in real user lands: on, seen from outside, and off again with nothing left; the kill switch."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import process, topology, userland
from lab.retry import NotYet, retry
from lab.userland import HOME, Userland
from lab.world import echo_url
from tests.netns.member_world import GATEWAY4, LAN, MOVED4, WHOAMI, World

Json = dict[str, Any]
BOOK = "var/lib/ztgate-member"  # where join.sh keeps what was before it
SYSTEMS = (("trixie", "networkd"), ("bookworm", "NetworkManager"), ("bookworm", "plain"))
# What changes below /etc, /usr and /var/lib though nobody has changed a setting.
CHURN = {
    "var/lib/zerotier-one/peers.d": "ZeroTier's memory of where it met whom",
    "var/lib/zerotier-one/metrics.prom": "ZeroTier's counters",
    "var/lib/systemd/timesync": "the time at which the clock was set",
    "var/lib/NetworkManager/timestamps": "when a connection was last up",
}
# ZeroTier makes it at the first join; that nothing stays in it is looked at.
EMPTY = ("var/lib/zerotier-one/networks.d",)
# Sockets and routers that learn; everything else of net.* has to be as before.
VOLATILE = ("net.netfilter.nf_conntrack_count", "net.ipv4.conf.all.mc_forwarding")


@pytest.fixture(scope="module")
def world(zerotier_deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(zerotier_deb, tmp_path_factory.mktemp("join"))
    yield world
    world.stop()


@pytest.fixture(scope="module", params=SYSTEMS, ids="-".join)
def land(world: World, request: pytest.FixtureRequest) -> Iterator[Userland]:
    """A laptop that has never heard of the network."""
    yield from running(world, *request.param)


def running(world: World, suite: str, kind: str) -> Iterator[Userland]:
    if kind != "plain" and userland.ordinary_user():
        pytest.skip("systemd as process 1 needs a cgroup that may be written to: run it as root")
    land = world.userland(suite, kind)
    switch_on(world, land)
    yield land
    land.stop()
    if (land.tree / BOOK).exists():  # a test failed, and has not left its network
        world.forget(land)


def switch_on(world: World, land: Userland) -> None:
    land.start()
    if not land.systemd:
        world.laptop.start("zerotier", *land.argv("/usr/sbin/zerotier-one"))
    retry(lambda: land.run("zerotier-cli", "info"), 20, "zerotier-one")


def files(tree: Path) -> dict[str, str]:
    """What every file below /etc, /usr and /var/lib is, by path."""
    found = {}
    for top in ("etc", "usr", "var/lib"):
        for folder, folders, names in os.walk(tree / top):
            for name in (*folders, *names):
                path = Path(folder, name)
                below = str(path.relative_to(tree))
                if below not in EMPTY and not any(f"{below}/".startswith(f"{churn}/") for churn in CHURN):
                    found[below] = described(path)
    return found


def described(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        content = ""
    return f"{status.st_mode:o} {status.st_uid} {status.st_gid} {content}"


def live(land: Userland) -> dict[str, str]:
    """What the kernel and the running services have."""
    settings = land.run("sysctl", "-a", "--pattern", "^net")
    kept = [line for line in settings.splitlines() if not line.startswith(VOLATILE)]
    found = {"sysctl": "\n".join(kept), "nft": land.run("nft", "list", "ruleset")}
    for family in ("-4", "-6"):
        found[f"routes {family}"] = land.run("ip", family, "route", "show", "table", "all")
        found[f"rules {family}"] = land.run("ip", family, "rule")
    found["addresses"] = land.run("ip", "-brief", "address")
    found["networks"] = land.run("zerotier-cli", "listnetworks")
    if land.systemd:
        units = land.run("systemctl", "list-unit-files", "--no-legend", "--no-pager")
        found["units"] = "\n".join(line for line in units.splitlines() if "transient" not in line)
        if "127.0.0.53" in land.run("cat", "/etc/resolv.conf"):
            found["resolver"] = land.run("resolvectl", "dns") + land.run("resolvectl", "domain")
    return found


def seen(land: Userland, family: int) -> str:
    """The address that a host on the internet sees, asked without join.sh."""
    return str(json.loads(land.run("curl", "-sS", "-g", "--max-time", "5", echo_url(family)))["address"])


def asked(world: World, host: str, name: str) -> bool:
    """Whether the DNS server of the isp or the gateway was asked for a name."""
    return f"query[A] {name} " in (world.logs / f"{host}-dns.log").read_text()


def look_up(land: Userland, name: str) -> None:
    """Ask for a name that nobody has, as any program would."""
    process.succeeds(land.argv("timeout", "5", "getent", "ahostsv4", name))


def leaks(world: World, land: Userland, told: str) -> set[str]:
    """What goes past the tunnel, as the internet and the router at home see it; join.sh has to agree."""
    name = f"{world.nwid}.{land.work.name}.example.org"
    look_up(land, name)
    found = {
        "IPv6": seen(land, 6) == str(topology.HOMES["laptop"].ipv6.ip),
        "DNS": asked(world, "isp", name),
    }
    assert asked(world, "gateway", name) != found["DNS"]
    assert {each: f"\nLEAK   {each}" in told for each in found} == found, told
    return {each for each, leaks in found.items() if leaks}


def test_on_and_off_again(world: World, land: Userland) -> None:
    nwid, before = world.network(), (files(land.tree), live(land))
    told = world.enrol(nwid, land)
    node = land.run("zerotier-cli", "info").split()[2]
    assert f"tell them its node id, {node}" in told and "It works" in told, told
    assert told.count("\nok ") == 5, told
    assert seen(land, 4) == topology.WAN_IPV4
    assert seen(land, 6) in world.controller.member(nwid, node)["ipAssignments"]
    assert leaks(world, land, told) == set()
    book = {path: described(path) for path in (land.tree / BOOK).rglob("*")}
    assert "It works" in land.run("sh", "/root/join.sh")
    assert book == {path: described(path) for path in (land.tree / BOOK).rglob("*")}
    land.run("sh", "/root/join.sh", "--leave")
    retry(lambda: same(before, (files(land.tree), live(land))), 10, "the state of before")
    assert seen(land, 4) == str(topology.HOMES["laptop"].ipv4.ip)


def same(before: tuple[dict[str, str], ...], after: tuple[dict[str, str], ...]) -> None:
    """Check that nothing is otherwise, and name what is."""
    for one, other in zip(before, after, strict=True):
        changed = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
        if changed:
            lines = {key: (one.get(key), other.get(key)) for key in sorted(changed)}
            raise NotYet(json.dumps(lines, indent=1))


# The script is killed after each of these lines of its, and undone.
CUTS = (
    "	open_book",
    "	set_settings",
    '		zerotier-cli join "$NETWORK"',
    "	await",
    "	repair",
    "	install_repair",
)


@pytest.mark.parametrize("land", [SYSTEMS[0]], ids="-".join, indirect=True)
def test_killed_anywhere_it_is_undone(world: World, land: Userland) -> None:
    before, nwid = (files(land.tree), live(land)), world.network()
    world.script(nwid, land)
    whole = (land.tree / "root/join.sh").read_text()
    world.controller.authorize(nwid, land.run("zerotier-cli", "info").split()[2])
    for cut in CUTS:
        body, join, rest = whole.partition("\njoin() {\n")
        line = next(each for each in rest.splitlines() if each.startswith(cut))
        land.write("root/cut.sh", body + join + rest.replace(f"{line}\n", f"{line}\n	kill -9 $$\n", 1))
        with pytest.raises(process.CommandFailed) as killed:
            land.run("sh", "/root/cut.sh")
        assert killed.value.status in (-9, 137), killed.value.output
        land.run("sh", "/root/join.sh", "--leave")
        retry(lambda: same(before, (files(land.tree), live(land))), 10, f"the state of before {line}")


def next_hops(land: Userland, family: str) -> set[str]:
    routes = json.loads(land.run("ip", family, "-json", "route", "show", "proto", "static"))
    return {route["gateway"] for route in routes if route["dev"].startswith("zt")}


@pytest.mark.parametrize("land", [SYSTEMS[0]], ids="-".join, indirect=True)
def test_a_changed_next_hop_reaches_the_kernel(world: World, land: Userland) -> None:
    before, nwid = (files(land.tree), live(land)), world.network()
    world.enrol(nwid, land)
    # A repair that the timer began before the news would be taken for the one that is started below.
    land.run("systemctl", "stop", "ztgate-member.timer", "ztgate-member.service")
    network = world.controller.network(nwid)
    other6 = next(a for a in world.node.network(nwid)["assignedAddresses"] if a.startswith("2600:")).split(
        "/"
    )[0]
    vias = {"0.0.0.0/0": MOVED4, "::/0": other6}
    routes = [{**route, "via": vias.get(route["target"], route["via"])} for route in network["routes"]]
    world.controller.node.api("POST", f"/controller/network/{nwid}", {"routes": routes})

    def told() -> None:
        if other6 not in land.run("zerotier-cli", "-j", "listnetworks"):
            raise NotYet("not told yet")

    retry(told, 30, "the news")
    assert next_hops(land, "-4") == {GATEWAY4}, "ZeroTier mends this itself: join.sh need not any more"
    land.run("systemctl", "start", "ztgate-member.service")
    assert (next_hops(land, "-4"), next_hops(land, "-6")) == ({MOVED4}, {other6})
    assert seen(land, 4) == topology.WAN_IPV4
    beside(land)
    land.run("sh", "/root/join.sh", "--leave")
    retry(lambda: same(before, (files(land.tree), live(land))), 10, "the state before the kill switch")


def beside(land: Userland) -> None:
    """A computer on the local network is reached with --kill-switch=lan, but never as a DNS server."""
    land.run("ip", "address", "add", f"{LAN[1]}/24", "dev", "eth0")
    ways = {"ping": ("ping", "-c1", "-W1", LAN[0]), "DNS": ("busybox", "nslookup", "-type=a", WHOAMI, LAN[0])}
    for option, reached in {
        "--no-kill-switch": {"ping", "DNS"},
        "--kill-switch": set(),
        "--kill-switch=lan": {"ping"},
    }.items():
        land.run("sh", "/root/join.sh", option)
        assert {way for way, ask in ways.items() if process.succeeds(land.argv(*ask))} == reached, option
    land.run("ip", "address", "del", f"{LAN[1]}/24", "dev", "eth0")


LACKS = {"IPv6": {"ipv6": False}, "DNS": {"dns": False}}


@pytest.mark.parametrize("land", [SYSTEMS[-1]], ids="-".join, indirect=True)
@pytest.mark.parametrize("lacking", LACKS)
def test_what_is_not_published_leaks(world: World, land: Userland, lacking: str) -> None:
    """The other side of `leaks`, which finds nothing in test_on_and_off_again: here it has to."""
    nwid = world.network(**LACKS[lacking])
    with pytest.raises(process.CommandFailed) as failed:
        world.enrol(nwid, land)
    assert failed.value.status == 1
    assert leaks(world, land, failed.value.output) == {lacking}
    land.run("sh", "/root/join.sh", "--leave")


# Nothing of this is ZeroTier's: the programs of the chatter, wherever they look.
CHATTER = f"host {topology.INTERNET.ipv4.ip} or host {topology.INTERNET.ipv6.ip} or port 53"


def moved(world: World, land: Userland) -> None:
    """The laptop's cable is plugged into another network: other addresses and routers, same ISP."""
    phone = topology.HOMES["phone"]
    world.isp.host.address(f"to-{topology.HOMES['laptop'].name}", *phone.uplinks)
    land.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
    for address in (phone.ipv4, phone.ipv6):
        land.run("ip", "address", "add", str(address), "dev", "eth0")
    for router in phone.uplinks:
        land.run("ip", "route", "replace", "default", "via", router.split("/")[0], "dev", "eth0")


def off(world: World, land: Userland) -> None:
    """Its power is cut, and the kernel forgets what it was told: a namespace outlives its processes."""
    land.stop()
    world.laptop.run("ip", "link", "set", "eth0", "down")
    world.laptop.run("ip", "address", "flush", "dev", "eth0")
    world.laptop.run("nft", "flush", "ruleset")


class Capture:
    """What the laptop's cable carries of the chatter meanwhile."""

    def __init__(self, world: World) -> None:
        self.host, self.log = world.isp.host, world.logs / "isp-capture.log"

    def __enter__(self) -> "Capture":
        self.log.unlink(missing_ok=True)
        words = ("tcpdump", "-l", "-n", "-i", f"to-{topology.HOMES['laptop'].name}", "-Q", "in", CHATTER)
        self.tcpdump = self.host.start("capture", *words)
        retry(self._listens, 10, "tcpdump")
        return self

    def _listens(self) -> None:
        if "listening on" not in self.log.read_text():
            raise NotYet("it does not listen yet")

    def __exit__(self, *_: object) -> None:
        process.stop(self.tcpdump)

    def packets(self) -> list[str]:
        """Each packet as a line."""
        return [line for line in self.log.read_text().splitlines() if " IP" in line]


def rounds(land: Userland, number: int) -> None:
    """Wait until the chatter has gone round so many times more."""

    def count() -> int:
        return int(land.run("cat", "/run/chatter"))

    wanted = retry(count, 30, "the chatter") + number

    def more() -> None:
        if count() < wanted:
            raise NotYet("it still talks")

    retry(more, 30, "the chatter")


def crash(land: Userland) -> None:
    """zerotier-one is killed, and does not come back before it is started."""
    pid = land.run("cat", f"/{HOME}/zerotier-one.pid").strip()
    land.run("kill", "-9", pid)
    land.run("systemctl", "stop", "zerotier-one")


@pytest.mark.parametrize("land", [SYSTEMS[0]], ids="-".join, indirect=True)
def test_the_kill_switch(world: World, land: Userland) -> None:
    nwid = world.network()
    world.enrol(nwid, land)
    land.run("systemctl", "start", "chatter")
    rounds_of = 3
    with Capture(world) as open_cable:
        crash(land)
        rounds(land, rounds_of)
    said = "\n".join(open_cable.packets())
    assert all(word in said for word in ("ICMP echo", "ICMP6", ".8080: Flags", "A? ")), said
    land.run("systemctl", "start", "zerotier-one")
    assert "kill switch: on" in land.run("sh", "/root/join.sh", "--kill-switch")
    with Capture(world) as closed_cable:
        crash(land)
        rounds(land, rounds_of)
        moved(world, land)
        rounds(land, rounds_of)
        land.run("systemctl", "start", "zerotier-one")
        retry(lambda: seen(land, 4), 60, "the tunnel after the crash and on another network")
        land.enable("chatter")
        off(world, land)
        switch_on(world, land)
        rounds(land, rounds_of)
        retry(lambda: seen(land, 6), 60, "the tunnel after the reboot")
    assert closed_cable.packets() == []
    land.run("systemctl", "disable", "--now", "chatter")
    land.run("sh", "/root/join.sh", "--leave")
    assert land.run("nft", "list", "ruleset") == ""
