"""The whole virtual world: an ISP, the internet, a controller, members, and gateways that run the image.

with World(image, zerotier, work) as world:
    nwid = world.controller.create_network(**lab.world.LIVED_IN)
    gateway = world.gateway("gw", world.config(nwid))
    gateway.start()
    gateway.expect(READY)
"""

import base64
import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from lab import accelerator, disk, qemu, topology
from lab.controller import Controller
from lab.isp import WAN, Isp
from lab.machine import Machine, Shell, key_pair
from lab.member import Member
from lab.names import Names
from lab.qemu import Options
from lab.retry import NotYet, retry
from lab.zerotier import Node, Package

# Each to the end of its line: the console is read piece by piece.
READY = (
    r"ztgate: ready network=(?P<network>[0-9a-f]{16}) address=(?P<address>[0-9.]+) "
    r"ipv6=(?P<ipv6>\S+) seconds=(?P<seconds>[0-9.]+)(?=[\r\n])"
)
WAITING = r"ztgate: waiting: (?P<reason>[^\r\n]+)(?=[\r\n])"
FAILED = r"ztgate: failed: (?P<reason>[^\r\n]+)(?=[\r\n])"
ECHO_PORT = 8080

# A network that somebody already uses: the gateway is to leave all of this as it is.
LIVED_IN: dict[str, Any] = {
    "name": "lived-in",
    "routes": [{"target": "10.66.0.0/24", "via": None}, {"target": "192.168.77.0/24", "via": "10.66.0.50"}],
    "ipAssignmentPools": [{"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}],
    "v4AssignMode": {"zt": True},
    "multicastLimit": 48,
    "dns": {"domain": "home.example", "servers": [topology.RESOLVER]},
}
NEEDED = (
    "ip",
    "unshare",
    "curl",
    "dnsmasq",
    "ss",
    "sysctl",
    "ssh",
    "dpkg-deb",
    "knotd",
    "kdig",
    "qemu-img",
    "qemu-system-x86_64",
)


class World:
    """Everything but the gateway itself runs in network namespaces; the gateway is a virtual machine."""

    def __init__(self, image: Path, zerotier: Path, work: Path) -> None:
        qemu.need(NEEDED)
        work.mkdir(parents=True, exist_ok=True)
        self.image, self.work, self.logs = image, work, work / "logs"
        self.package = Package.unpack(zerotier, work / "zerotier-one")
        self.isp = Isp(self.logs)
        self.key, self.public_key = key_pair(work / "ssh")
        self._members: dict[str, Member] = {}
        self._machines: list[Machine] = []

    def __enter__(self) -> "World":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self.isp.start()
        self.internet = self.isp.connect(topology.INTERNET, self.logs)
        self.internet.address("lo", *topology.ANYCAST)
        for address in topology.ANYCAST:
            via = topology.INTERNET.ipv6.ip if ":" in address else topology.INTERNET.ipv4.ip
            self.isp.host.run("ip", "route", "add", address, "via", str(via))
        self.names = Names(self.internet, self.work / "names")
        self.names.start()
        self.internet.start("resolver", *resolver_argv())
        self.internet.start("echo", sys.executable, "-m", "lab.echo", "--port", str(ECHO_PORT))
        host = self.isp.connect(topology.CONTROLLER, self.logs)
        self.controller = Controller(host, self.package, self.work / "controller")
        self.controller.start()
        self.accelerator = accelerator.choose(self.image, self.isp.host, self.work)
        retry(self._echo_answers, 10, "the internet")

    def _echo_answers(self) -> None:
        if not self.controller.host.succeeds("curl", "-sS", "--max-time", "3", echo_url(4, "/health")):
            raise NotYet("the echo host does not answer")

    def member(self, name: str) -> Member:
        """The member of that name, at home and running, but in no network yet."""
        if name not in self._members:
            host = self.isp.connect(topology.HOMES[name], self.logs)
            node = Node(host, self.package, self.work / name / "zerotier")
            node.trust(self.controller.moon)
            self._members[name] = Member(host, node)
            self._members[name].start()
        return self._members[name]

    def config(self, nwid: str, door: str = "central-v1", **sections: dict[str, Any]) -> str:
        """A gateway.yaml for the network through a door of the controller; ``sections`` are merged in."""
        way = self.controller.door(door)
        config: dict[str, Any] = {
            "network": nwid,
            "controller": {
                "kind": way.kind,
                "url": way.url,
                "token": way.token,
                "ca-file": self.controller.ca,
            },
            "ssh": {"authorized-keys": [self.public_key], "from": "wan"},
            "zerotier": {"moons": [base64.b64encode(self.controller.moon.read_bytes()).decode()]},
            "dns": {"trust-anchors": [self.names.trust_anchor]},
        }
        config["members"] = {
            "check-ipv4": echo_url(4),
            "check-ipv6": echo_url(6),
            "check-resolver": topology.WHOAMI_NAME.rstrip("."),
        }
        for name, values in sections.items():
            config[name] = {**config.get(name, {}), **values}
        return yaml.safe_dump(config, sort_keys=False)

    def gateway(
        self,
        name: str,
        config: str | None,
        image: Path | None = None,
        spare: bool = False,
        exported: Path | None = None,
        **options: Any,
    ) -> Machine:
        """A virtual machine on the WAN that runs an image (the world's own) with ``config``; not started yet.

        Only one at a time may run: they share the WAN address. With ``spare`` it has a second network card.
        ``exported`` is that image in another format: it is the disk, as it is.
        """
        work = self.work / name
        tap = f"tap{len(self._machines)}"
        self.isp.host.tap(tap, WAN)
        if spare:
            options["spare_tap"] = f"spare{len(self._machines)}"
            self.isp.host.tap(options["spare_tap"], WAN)
        variables = None
        image = image or self.image
        options = {**disk.platform(image), "accelerator": self.accelerator, **options}
        if image != self.image:
            options["accelerator"] = accelerator.choose(image, self.isp.host, work)
        if options["firmware"] == "uefi":
            variables = disk.variables(qemu.uefi(options["architecture"])[1], work)
        machine = Machine(
            Options(
                disk=exported or disk.personal(image, config, work), pristine=exported is not None,
                sockets=work, console_log=work, tap=tap,
                efi_variables=variables, **options,
            ),
            self.isp.host,
            work,
        )  # fmt: skip
        self._machines.append(machine)
        return machine

    def shell(self) -> Shell:
        """SSH into the gateway from the ISP's side."""
        return Shell(self.isp.host, topology.WAN_IPV4, self.key, self.work / "ssh" / "control")

    def unsolicited(self, address: str, port: int) -> bool:
        """Whether a host on the internet can open a TCP connection to ``address``."""
        body = json.dumps({"host": address, "port": port})
        answer = self.internet.run(
            "curl", "-sS", "--max-time", "10", "--data-binary", body, f"http://127.0.0.1:{ECHO_PORT}/connect"
        )
        return bool(json.loads(answer)["connected"])

    def close(self) -> None:
        """Take it all down, the last first."""
        for machine in self._machines:
            machine.close()
        for member in self._members.values():
            member.host.stop()
        for name in ("controller", "internet"):
            part = getattr(self, name, None)
            if part is not None:
                getattr(part, "host", part).stop()
        self.isp.host.stop()


def echo_url(family: int, path: str = "/") -> str:
    """The URL of the internet host that says which source address it saw."""
    site = topology.INTERNET
    host = str(site.ipv4.ip) if family == 4 else f"[{site.ipv6.ip}]"
    return f"http://{host}:{ECHO_PORT}{path}"


def resolver_argv() -> list[str]:
    """A public resolver, for those who use one; it says of itself which one was asked."""
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root",
        "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=", "--log-facility=-", "--bind-interfaces",
        f"--listen-address={topology.RESOLVER}",
        f"--host-record={topology.WHOAMI_NAME.rstrip('.')},{topology.RESOLVER}",
    ]  # fmt: skip
