"""A node of the stand-in in this process, with a pipe for a tap: no interface, no socket, no privilege."""

import ipaddress
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from lab.standin.zerotier_one_standin import network
from lab.standin.zerotier_one_standin.addresses import IP, Inet
from lab.standin.zerotier_one_standin.api import Api
from lab.standin.zerotier_one_standin.home import Home
from lab.standin.zerotier_one_standin.minihttp import Request, Response
from lab.standin.zerotier_one_standin.node import Node

Json = dict[str, Any]


class FakeTap:
    """The two ends of a socket pair: `fd` is the daemon's, `wire` what the kernel would be."""

    def __init__(self, name: str, mac: bytes, mtu: int) -> None:
        self.name, self.mac, self.mtu = name, mac, mtu
        self._own, self.wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own.setblocking(False)
        self.wire.setblocking(False)
        self.fd = self._own.fileno()

    def set_mtu(self, mtu: int) -> None:
        self.mtu = mtu

    def close(self) -> None:
        self._own.close()


class FakeKernel:
    """Takes every address and route, and lists what has been done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def add_address(self, device: str, address: Inet) -> int:
        self.done.append(f"+ {address}")
        return 0

    def remove_address(self, device: str, address: Inet) -> int:
        self.done.append(f"- {address}")
        return 0

    def add_route(self, device: str, target: Inet, via: IP) -> int:
        self.done.append(f"+ {target} via {via}")
        return 0

    def limit_segments(self, device: str, size: int) -> int:
        return 0

    def remove_route(self, device: str, target: Inet, via: IP) -> int:
        self.done.append(f"- {target} via {via}")
        return 0


class Service:
    """A node and its local API."""

    def __init__(self, home: Path) -> None:
        self.node = Node(Home(home), 9993, [])
        self.node._kernel = FakeKernel()  # type: ignore[assignment]
        self.api = Api(self.node, 9993)
        self.token = self.node.home.token("authtoken.secret")

    @property
    def own_network(self) -> str:
        """An id of a network that this node controls."""
        return f"{self.node.identity.address_text}000001"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        remote: str = "127.0.0.1",
    ) -> Response:
        """One request, with the token unless other headers are given."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        shown = {"x-zt1-auth": self.token} if headers is None else headers
        path, _, query = path.partition("?")
        pairs = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        return self.api.handle(Request(method, path, pairs, shown, data, ipaddress.ip_address(remote)))

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The reply to a request that works."""
        reply = self.ask(method, path, body)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def work(self) -> None:
        """What the control thread would do now with what has come in."""
        while not self.node.switch.inbox.empty():
            self.node._handle(self.node.switch.inbox.get())


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(network, "Tap", FakeTap)
    return Service(tmp_path)


@pytest.fixture
def recorded() -> Json:
    """Replies of the real 1.14.1."""
    return _load("recorded_replies.json")


@pytest.fixture
def recorded_controller() -> Json:
    """What the real controller made of one POST after the other: [body, the touched fields afterwards]."""
    return _load("recorded_controller.json")


@pytest.fixture
def recorded_assignments() -> Json:
    """Which addresses the real controller sent a member, by network and member settings."""
    return _load("recorded_assignments.json")


def _load(name: str) -> Json:
    found: Json = json.loads(Path(__file__).with_name(name).read_text())
    return found
