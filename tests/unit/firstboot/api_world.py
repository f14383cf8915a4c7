"""A gateway whose controller is really asked: requests, TLS, Central's facade, the stand-in's controller.

Only the clock, the tools and ZeroTier's local service are pretended, so hours pass in a moment. `live` plays
systemd: the service, and the timer that starts it again two minutes after it ended.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from ztgate import report, service
from ztgate.machine import Machine
from ztgate.paths import Paths

from lab.central import Central, Passthrough
from lab.central_upstream import Upstream
from lab.faults import Faulty
from lab.httpd import HttpServer, Reply, Request, bytes_reply
from lab.tls import Certificate
from tests.unit.standin.conftest import Service

from .support import NETWORK, NODE, TOKEN, FakeClock, FakeListener, FakeTools, forget_boot, machine, tools

Json = dict[str, Any]
TIMER = 120.0  # seconds; ztgate.timer, OnUnitInactiveSec
PHONES = [f"54f03b7f{number:02x}" for number in range(4)]
ROUTES = ["10.66.0.0/24", "192.168.77.0/24", "192.168.78.0/24", "172.20.0.0/16", "fd77:1::/64"]
# A network that is in use, with a gateway of its own.
USED: Json = {
    "name": "family",
    "multicastLimit": 64,
    "mtu": 2800,
    "v4AssignMode": {"zt": True},
    "routes": [
        {"target": "0.0.0.0/0", "via": "10.66.0.99"},
        {"target": ROUTES[0], "via": None},
        *({"target": target, "via": "10.66.0.50"} for target in ROUTES[1:4]),
        {"target": ROUTES[4], "via": None},
    ],
    "ipAssignmentPools": [
        {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.149"},
        {"ipRangeStart": "10.66.0.150", "ipRangeEnd": "10.66.0.199"},
        {"ipRangeStart": "fd77:1::", "ipRangeEnd": "fd77:1::ffff"},
    ],
    "rules": [
        {"type": "MATCH_ETHERTYPE", "etherType": 0x88CC, "not": True, "or": False},
        {"type": "ACTION_ACCEPT", "not": False, "or": False},
    ],
    "dns": {"domain": "home.arpa", "servers": ["10.66.0.53"]},
    "tags": [{"id": 1000, "default": 1}],
}
# What counts writes, and what was written last.
COUNTERS = ("revision", "lastModified")


class Stop(BaseException):
    """The time that was to be looked at is over."""


class PowerCut(BaseException):
    """Nothing more of this run happens."""


@dataclass
class World:
    """The controller's host and the gateway, which is at `root`."""

    root: Path
    standin: Service
    faulty: Faulty
    server: HttpServer
    patch: pytest.MonkeyPatch
    later: ExitStack  # what is to be closed with the world
    clock: FakeClock = field(default_factory=FakeClock)
    tools: FakeTools = field(default_factory=FakeTools)
    asked: list[float] = field(default_factory=list)  # when the gateway tried to ask, by its own clock
    joined: Any = None
    unsynchronized: bool = False  # no time server has set the clock

    @property
    def settings(self) -> Json:
        """The network as the controller has it; FakeService reads it too."""
        return self.standin.node.controller.networks[int(NETWORK, 16)]

    @property
    def rows(self) -> dict[str, Json]:
        """Its members."""
        members = self.standin.node.controller.members[int(NETWORK, 16)]
        return {f"{node:010x}": member for node, member in members.items()}

    def configure(self, host: str, port: int, kind: str = "central-v1") -> None:
        """Write gateway.yaml."""
        url = f"https://{host}:{port}" + ("/api/v1" if kind == "central-v1" else "")
        controller = {"kind": kind, "url": url, "token": TOKEN, "ca-file": "ca.pem"}
        settings = {"network": NETWORK, "controller": controller, "gateway": {"takeover": True}}
        self.boot().paths.fat_config.write_text(json.dumps(settings))

    def boot(self) -> Machine:
        """A new process on the same machine."""
        made = machine(self.root, self, text="")  # type: ignore[arg-type]
        if self.unsynchronized:
            made.paths.synchronized.unlink()
        fresh = Machine(made.paths, clock=self.clock, probe=self.tools)
        fresh.listen_for_solicitations = lambda _: FakeListener(self.tools)
        if self.joined is None:
            self.joined, self.tools.service = made.service.call, tools(made).service
        fresh.service.call = self.joined  # type: ignore[method-assign]
        return fresh

    def cut_power(self) -> None:
        """What a reboot forgets: /run, the kernel's rules and proxies."""
        forget_boot(Paths(self.root), self.tools)
        self.tools.loaded = ""

    def live(self, seconds: float, timer: float = TIMER) -> int | None:
        """The service and its timer for so long, or until it is ready; its last exit status."""

        def stop() -> None:
            raise Stop

        end, ended = self.clock.time + seconds, None
        self.clock.at[end] = stop
        try:
            while ended != service.READY:
                ended = service.apply(self.boot(), once=False)
                if ended != service.READY:
                    self.clock.sleep(timer)
        except Stop:
            pass
        self.clock.at.pop(end, None)
        return ended

    def status(self) -> tuple[str, str]:
        """State and reason, as people are told."""
        told = report.read(self.boot())
        return told["state"], told["reason"]

    def content(self) -> Json:
        """Everything at the controller, without what counts writes."""
        found = {"network": self.settings, **self.rows}
        return {
            name: {key: value for key, value in deepcopy(part).items() if key not in COUNTERS}
            for name, part in found.items()
        }


def standin_answer(standin: Service, request: Request) -> Reply:
    """The stand-in's local API, asked in this process."""
    reply = standin.ask(
        request.method, request.path, request.body, {"x-zt1-auth": request.headers.get("X-ZT1-Auth", "")}
    )
    return bytes_reply(reply.status, reply.body.encode(), reply.content_type)


@contextmanager
def world(tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world with a network that is in use, and a gateway that has not been set up."""
    token_file = tmp_path / "controller/authtoken.secret"
    token_file.parent.mkdir()
    token_file.write_text(TOKEN)
    standin = Service(tmp_path / "controller")
    standin.json("POST", f"/controller/network/{NETWORK}", USED)
    for number, phone in enumerate(PHONES):
        member = {"authorized": True, "name": f"phone {number}", "ipAssignments": [f"10.66.0.{number + 100}"]}
        standin.json("POST", f"/controller/network/{NETWORK}/member/{phone}", member)
    with HttpServer(lambda request: standin_answer(standin, request)) as daemon:
        upstream = Upstream(f"http://127.0.0.1:{daemon.port}", token_file)
        central, own = Central(upstream, TOKEN), Passthrough(upstream)
        faulty = Faulty(lambda asked: central(asked) if asked.path.startswith(Central.BASE) else own(asked))
        with HttpServer(faulty, tls=certificate.server_context()) as server, ExitStack() as later:
            root = tmp_path / "gateway"
            made = World(root, standin, faulty, server, monkeypatch, later)
            made.configure("localhost", server.port)
            (root / "boot/firmware/ca.pem").write_bytes(certificate.ca.read_bytes())
            _count(made, monkeypatch)
            yield made
            faulty.mend()


def _count(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = requests.Session.request

    def counted(self: requests.Session, *args: Any, **options: Any) -> requests.Response:
        made.asked.append(made.clock.time)
        return ask(self, *args, **options)

    monkeypatch.setattr(requests.Session, "request", counted)


def without_ours(content: Json) -> Json:
    """The network's other content: what it has without this gateway's rows and values."""
    left = {name: part for name, part in content.items() if name not in ("network", NODE)}
    network = dict(content["network"])
    for key in ("mtu", "v6AssignMode"):
        network.pop(key)
    network["routes"] = [row for row in network["routes"] if row["target"] in ROUTES]
    network["ipAssignmentPools"] = [
        row for row in network["ipAssignmentPools"] if row in USED["ipAssignmentPools"]
    ]
    return {**left, "network": network}
