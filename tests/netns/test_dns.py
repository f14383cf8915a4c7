"""Members' resolver: the real Unbound with the step's own configuration, against the lab's root servers."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_interface
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, derive, names
from ztgate.controllers.base import Member as Controlled
from ztgate.machine import Machine
from ztgate.paths import Paths
from ztgate.state import State
from ztgate.steps import serve_dns
from ztgate.zerotier import Network

from lab import topology
from lab.errors import LabError
from lab.names import Names, ask
from lab.netns import Namespace
from lab.process import CommandFailed
from lab.retry import NotYet, retry
from lab.standin.zerotier_one_standin import derive as standin
from tests.netns.gateway_world import (
    GATEWAY4,
    GATEWAY6,
    ISP4,
    ISP6,
    MEMBER4,
    MTU,
    SUBNET,
    WAN4,
    WAN6,
    World,
)

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "overlays/common/usr/lib/systemd/system/ztgate-dns.service"
NETWORK, NODE, MEMBER, PHONE = "116be780b4870839", "116be780b4", "54f03b7f83", "0000000042"
YAML = """\
network: {network}
gateway: {{name: Our Gateway}}
dns: {{domain: net.example.org, trust-anchors: ["{anchor}"]}}
"""
STATE = State(address=GATEWAY4, subnet=str(SUBNET))
ANNA = Controlled(MEMBER, "Anna's Büro", {"authorized": True, "ipAssignments": [MEMBER4]})
HOME = "anna-s-buro.net.example.org"
MEGABYTE = 1024  # KiB


class Gateway:
    """The step on a machine whose service manager is this test, and whose tools run in the namespace."""

    def __init__(self, world: World, internet: Names) -> None:
        self.host, self.work = world.gw, world.work
        # A distribution's AppArmor profile goes by the path, and lets it read no others.
        self.program = self.work / "unbound"
        shutil.copy(shutil.which("unbound", path="/usr/sbin:/usr/bin") or "unbound", self.program)
        paths = Paths(self.work / "root")
        (paths.resolver / "control").mkdir(parents=True)
        self.machine = Machine(paths, probe=self.probe)
        self.running: subprocess.Popen[bytes] | None = None
        names.remember(self.machine, [ANNA])
        text = YAML.format(network=NETWORK, anchor=internet.trust_anchor)
        self.config = config.load(text, "gateway.yaml")

    def probe(self, argv: Any, *, stdin: str | None = None, timeout: float = 60) -> tuple[int, str]:
        words = list(argv)
        if words[0] == "systemctl":
            return self.unit(words[1])
        try:
            return 0, self.host.run(*words)
        except CommandFailed as error:
            return error.status, error.output

    def unit(self, verb: str) -> tuple[int, str]:
        if verb == "is-active":
            return (0 if self.running and self.running.poll() is None else 3), ""
        if verb == "restart":
            self.stop()
            _, _, *words = self.line("ExecStart")  # ztgate-root-key and unbound
            self.running = self.host.start("unbound", self.program, *words)
            retry(self.ready, 20, "the resolver")
        else:
            self.host.run(*self.line("ExecReload"))
        return 0, ""

    def line(self, key: str) -> list[str]:
        """A command of the unit, with this test's paths."""
        found = next(text for text in UNIT.read_text().splitlines() if text.startswith(f"{key}="))
        return found.partition("=")[2].replace("/run/", f"{self.work}/root/run/").split()

    def ready(self) -> None:
        if ":53 " not in self.host.run("ss", "-Hln", "-t"):
            raise NotYet("it does not listen")

    def stop(self) -> None:
        if self.running:
            self.running.terminate()
            self.running.wait(10)

    def apply(self, state: State = STATE) -> list[str]:
        """Run the step; what it did."""
        self.machine.performed.clear()
        serve_dns.run(self.machine, self.config, network(), NODE, SUBNET, state)
        return [str(action) for action in self.machine.performed]


def network() -> Network:
    own = (f"{GATEWAY6}/88", f"{SUBNET[1]}/80")
    return Network(
        NETWORK, "OK", "ztlab0", mac(NODE), MTU, True, True, False,
        (ip_interface(f"{GATEWAY4}/24"),), tuple(map(ip_interface, own)),  # type: ignore[arg-type]
        (IPv4Network("10.66.0.0/24"),), (),
    )  # fmt: skip


def mac(node: str) -> str:
    return standin.mac_text(standin.mac(int(NETWORK, 16), int(node, 16)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("dns"))
    made.isp.address("lo", *topology.ANYCAST)
    made.isp.run("ip", "-6", "route", "add", str(SUBNET), "via", WAN6)
    for host, node in ((made.gw, NODE), (made.member, MEMBER)):
        host.run("ip", "link", "set", "ztlab0", "address", mac(node))
    made.load()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    internet = Names(world.isp, world.work / "names")
    internet.start()
    made = Gateway(world, internet)
    assert [text.split()[0] for text in made.apply()] == ["write", "write", "systemctl"]
    yield made
    made.stop()


def silent(host: Namespace, server: str) -> bool:
    try:
        ask(host, server, "example.com", patience=1)
    except LabError:
        return True
    return False


def test_it_listens_on_zerotiers_addresses_and_nowhere_else(gateway: Gateway) -> None:
    for protocol in ("-u", "-t"):
        lines = gateway.host.run("ss", "-Hln", protocol).splitlines()
        local = {next(word for word in line.split() if ":" in word) for line in lines}
        own = {text for text in local if text.rpartition(":")[2] == "53"}
        assert own == {f"{GATEWAY4}:53", f"[{GATEWAY6}]:53"}, protocol


@pytest.mark.parametrize("server", [GATEWAY4, GATEWAY6])
def test_names_outside(world: World, gateway: Gateway, server: str) -> None:
    """Recursively from the root servers on, validated, and asked for from the WAN's address."""
    signed = ask(world.member, server, topology.SIGNED_NAME)
    assert (signed.status, signed.data) == ("NOERROR", (str(topology.INTERNET.ipv4.ip),))
    assert "ad" in signed.flags
    assert ask(world.member, server, topology.WHOAMI_NAME).data == (WAN4,)
    assert ask(world.member, server, topology.BOGUS_NAME).status == "SERVFAIL"
    assert ask(world.member, server, "nobody.example.com").status == "NXDOMAIN"


def test_members_names(world: World, gateway: Gateway) -> None:
    domain, reverse = "net.example.org", "7.0.66.10.in-addr.arpa"
    address6 = str(derive.member_address(SUBNET, MEMBER))
    cases = (
        (HOME, "A", MEMBER4),
        (HOME.upper(), "AAAA", address6),
        (f"{MEMBER}.{domain}", "A", MEMBER4),
        (f"{MEMBER}.{domain}", "AAAA", address6),
        (reverse, "PTR", f"{HOME}."),
        (derive.member_address(SUBNET, MEMBER).reverse_pointer, "PTR", f"{HOME}."),
        (f"our-gateway.{domain}", "A", GATEWAY4),
        (f"{NODE}.{domain}", "AAAA", GATEWAY6),
    )
    for name, kind, expected in cases:
        found = ask(world.member, GATEWAY4, name, kind)
        assert (found.status, found.data) == ("NOERROR", (expected,)), name
    assert ask(world.member, GATEWAY4, f"nobody.{domain}").status == "NXDOMAIN"
    assert ask(world.member, GATEWAY4, HOME, "MX").status == "NOERROR"


def test_a_second_run_does_nothing(gateway: Gateway) -> None:
    assert gateway.apply() == []


def test_the_outside_gets_no_answer(world: World, gateway: Gateway) -> None:
    """Nor does a packet from there to the address on the network."""
    world.isp.run("ip", "route", "replace", "10.66.0.0/24", "via", WAN4)
    for address in (WAN4, WAN6, GATEWAY4):
        assert silent(world.isp, address), address


def test_dns_off_closes_the_port(world: World, gateway: Gateway) -> None:
    world.load("dns: off\n")
    assert silent(world.member, GATEWAY4)
    world.load()
    assert not silent(world.member, GATEWAY4)


def test_a_new_member_is_known_without_a_new_start(world: World, gateway: Gateway) -> None:
    """From the neighbour table alone, by its MAC address; and what was looked up before is kept."""
    ask(world.member, GATEWAY4, "www.example.com")
    before = gateway.running.pid if gateway.running else 0
    gateway.host.run("ip", "neigh", "replace", "10.66.0.9", "lladdr", mac(PHONE), "dev", "ztlab0")
    assert [text.split()[:2] for text in gateway.apply()][1:] == [["systemctl", "reload"]]
    assert ask(world.member, GATEWAY4, f"{PHONE}.net.example.org").data == ("10.66.0.9",)
    assert gateway.running and gateway.running.pid == before and gateway.running.poll() is None
    world.gw.run("ip", "link", "set", "wan0", "down")
    try:
        assert ask(world.member, GATEWAY4, "www.example.com").status == "NOERROR", "from the cache"
        assert ask(world.member, GATEWAY4, HOME).data == (MEMBER4,), "without a WAN"
    finally:
        world.gw.run("ip", "link", "set", "wan0", "up")
        world.gw.address("wan0", f"{WAN6}/64")
        world.gw.routes([ISP4, ISP6])


def test_names_outside_when_the_wan_is_back(world: World, gateway: Gateway) -> None:
    def check() -> None:
        if ask(world.member, GATEWAY4, f"back-{time.time_ns()}.example.com").status != "NXDOMAIN":
            raise NotYet("no answer from outside")

    retry(check, 20, "names outside")


def test_it_is_small(gateway: Gateway) -> None:
    assert gateway.running
    text = Path(f"/proc/{gateway.running.pid}/status").read_text()
    resident = int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))
    print(json.dumps({"VmRSS": resident}))
    assert resident < 64 * MEGABYTE
