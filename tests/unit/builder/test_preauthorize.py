"""preauthorize: the controller's part from here, with the stand-in's tool and its controller over HTTP."""

import base64
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ztgate import service as ztgate_service
from ztgate.actions import CallService, WriteMember, WriteNetwork
from ztgate.steps import publish

import build
from builder import gateway_config, preauthorize
from builder.errors import BuildError
from builder.run import run
from lab.standin import deb
from lab.standin.zerotier_one_standin import minihttp
from tests.unit.builder.test_gateway_config import content, listing, make_image
from tests.unit.firstboot import support
from tests.unit.standin.conftest import Service

ADDRESS = "10.66.0.1"
PREFIX, SUBNET = "2600:db8:0:1::/64", "2600:db8:0:1:ff::/80"
LAN = {"target": "10.66.0.0/24", "via": None}
FOREIGN = {"target": "0.0.0.0/0", "via": "10.66.0.77"}


@dataclass
class Bench:
    """An image, the stand-in's package, and a controller with a network."""

    image: Path
    config: Path
    package: Path
    controller: Service
    said: list[str]

    def go(self, package: Path | None = None) -> str:
        """preauthorize the image; the node id."""
        downloads = self.config.parent / "none"
        preauthorize.image(self.image, self.config, package or self.package, downloads, self.said.append)
        return self.identity()[:10]

    def identity(self) -> str:
        return content(self.image, preauthorize.IDENTITY)

    def node(self, node: str, prefix: str | None = None) -> None:
        preauthorize.node(node, prefix, self.config, self.said.append)

    def network(self) -> dict[str, Any]:
        found: dict[str, Any] = self.controller.json(
            "GET", f"/controller/network/{self.controller.own_network}"
        )
        return found

    def routes(self) -> list[tuple[str, str | None]]:
        return [(row["target"], row["via"]) for row in self.network()["routes"]]

    def member(self, node: str) -> dict[str, Any]:
        path = f"/controller/network/{self.controller.own_network}/member/{node}"
        found: dict[str, Any] = self.controller.json("GET", path)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for tool in ("mformat", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    monkeypatch.delenv("ZTGATE_TOKEN", raising=False)
    monkeypatch.setattr(publish, "SETTLE", 0.0)
    controller = Service(tmp_path / "zerotier")
    controller.json("POST", f"/controller/network/{controller.own_network}", {"routes": [LAN]})
    listeners = minihttp.serve(0, controller.api.handle)
    url = f"http://127.0.0.1:{listeners[0].getsockname()[1]}"
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"# mine\nnetwork: {controller.own_network}\n"
        f"controller:\n  kind: self-hosted\n  url: {url}\n  token: {controller.token}\n"
        "gateway: {name: attic}  # up there\n"
    )
    made = Bench(make_image(tmp_path / "x.img"), config, deb.build(tmp_path), controller, [])
    yield made
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)  # close() alone leaves it listening as long as a thread accepts
        listener.close()


def test_the_image_gets_an_identity_and_no_token(bench: Bench) -> None:
    node = bench.go()
    assert bench.member(node)["authorized"] and bench.member(node)["ipAssignments"] == [ADDRESS]
    assert bench.routes() == [("10.66.0.0/24", None), ("0.0.0.0/0", ADDRESS)]
    network = bench.controller.own_network
    text = f"# mine\nnetwork: {network}\ncontroller: {{kind: none}}\ngateway: {{name: attic}}  # up there\n"
    assert content(bench.image) == text
    assert listing(bench.image) == ["::/identity.secret", "::/gateway.yaml"]
    assert stat.S_IMODE(bench.image.stat().st_mode) == 0o600
    assert bench.said[-1] == f"node {node} is the gateway of network {network} at {ADDRESS}"


def test_the_token_is_nowhere_on_the_image(bench: Bench) -> None:
    """Not even in free space, after a command that had put it there."""
    token = bench.controller.token.encode()
    gateway_config.configure(bench.image, bench.config)
    assert token in bench.image.read_bytes()
    bench.go()
    raw = bench.image.read_bytes()
    for form in (token, base64.b64encode(token), b"\0".join(bytes([byte]) for byte in token)):
        assert form not in raw
    assert not any(bench.controller.token in line for line in bench.said)


def test_the_gateway_comes_up_with_it_and_asks_no_api(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = bench.go()
    monkeypatch.setattr(support, "NODE", node)
    monkeypatch.setattr(support, "NETWORK", bench.controller.own_network)
    controller = support.FakeController(bench.network())
    controller.rows[node] = bench.member(node)
    made = support.machine(tmp_path / "root", controller, content(bench.image))
    made.paths.fat_identity.write_text(bench.identity())
    made.paths.zerotier_home.mkdir(parents=True)
    (made.paths.zerotier_home / "identity.secret").write_text("the one that it made by itself")
    assert ztgate_service.apply(made, once=True) == ztgate_service.READY
    assert (made.paths.zerotier_home / "identity.secret").read_text() == bench.identity().strip()
    assert not made.paths.fat_identity.exists()
    assert controller.calls == 0
    kinds = {type(action) for action in made.performed}
    assert CallService in kinds and not kinds & {WriteNetwork, WriteMember}
    card = made.paths.status_text.read_text()
    command = f"./build.py preauthorize --config gateway.yaml --node {node} --ipv6 {PREFIX}\n"
    assert command in card
    # ... which does what is missing.
    bench.node(node, command.split()[-1])
    controller.settings = bench.network()
    assert ztgate_service.apply(made, once=True) == ztgate_service.READY
    assert f"ipv6: {SUBNET} (" in made.paths.status_text.read_text()
    assert "to do" not in made.paths.status_text.read_text()


def test_the_token_of_the_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("ZTGATE_TOKEN", bench.controller.token)
    bench.config.write_text(bench.config.read_text().replace(f"  token: {bench.controller.token}\n", ""))
    words = [bench.image, "--config", bench.config, "--zerotier", bench.package]
    assert build.main(["preauthorize", *map(str, words)]) == 0
    assert bench.member(bench.identity()[:10])["authorized"]
    assert bench.controller.token.encode() not in bench.image.read_bytes()


def test_ipv6_is_registered_later(bench: Bench) -> None:
    node = bench.go()
    bench.node(node, PREFIX)
    network = bench.network()
    assert [target for target, _ in bench.routes()] == ["10.66.0.0/24", "0.0.0.0/0", SUBNET, "::/0"]
    assert network["ipAssignmentPools"][-1]["ipRangeStart"] == "2600:db8:0:1:ff::"
    assert network["v6AssignMode"]["rfc4193"] and network["v6AssignMode"]["zt"]
    revision = network["revision"]
    bench.node(node, PREFIX)
    assert bench.network()["revision"] == revision, "the second time there is nothing to do"


def test_a_second_time_it_is_the_same_node(bench: Bench) -> None:
    node = bench.go()
    before, revision = bench.image.read_bytes(), bench.network()["revision"]
    assert bench.go() == node
    assert bench.network()["revision"] == revision
    assert content(bench.image) in before.decode("latin-1")


def test_a_new_address(bench: Bench) -> None:
    bench.go()
    bench.config.write_text(bench.config.read_text().replace("name: attic", "address: 10.66.0.9"))
    bench.go()
    assert bench.routes() == [("10.66.0.0/24", None), ("0.0.0.0/0", "10.66.0.9")]


def test_members_are_pointed_at_its_resolver(bench: Bench) -> None:
    """Once there is a domain; what changes later, an address or IPv6, is told as well."""
    bench.config.write_text(bench.config.read_text() + "dns: {domain: net.example.org}\n")
    node = bench.go()
    assert bench.network()["dns"] == {"domain": "net.example.org", "servers": [ADDRESS]}
    bench.config.write_text(bench.config.read_text().replace("name: attic", "address: 10.66.0.9"))
    bench.node(node, PREFIX)
    via6 = next(via for target, via in bench.routes() if target == "::/0")
    assert bench.network()["dns"]["servers"] == ["10.66.0.9", via6]


def with_default_route(bench: Bench) -> None:
    path = f"/controller/network/{bench.controller.own_network}"
    bench.controller.json("POST", path, {"routes": [LAN, FOREIGN]})


def edited(old: str, new: str) -> Callable[[Bench], None]:
    def edit(bench: Bench) -> None:
        text = bench.config.read_text().replace("{token}", bench.controller.token)
        bench.config.write_text(text.replace(old.replace("{token}", bench.controller.token), new))

    return edit


@pytest.mark.parametrize(
    ("spoil", "message", "hint"),
    [
        (with_default_route, "already has a default route through another gateway: 0.0.0.0/0 via", "remove"),
        (edited("{token}", "another-token-0001"), "does not accept the token (401)", "authtoken.secret"),
        (edited("{token}", "''"), "controller.token: is empty", ""),
        (edited("token: {token}", "ca-file: x"), "no token for the controller", "$ZTGATE_TOKEN"),
        (edited("kind: self-hosted", "ca-file: ca.pem"), "ca-file: there is no", ""),
        (edited("{name: attic}", "{address: 10.9.0.1}"), "10.9.0.1 is outside the network's ranges", "auto"),
        (edited("network", "netwerk"), "netwerk: unknown key", "network"),
        (lambda bench: bench.image.write_bytes(b""), "no ztgate image", "build"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    bench: Bench, spoil: Callable[[Bench], None], message: str, hint: str
) -> None:
    spoil(bench)
    before = bench.image.read_bytes(), bench.network()
    with pytest.raises(BuildError) as e:
        bench.go()
    assert message in e.value.message and hint in e.value.hint
    assert (bench.image.read_bytes(), bench.network()) == before
    assert bench.controller.token not in e.value.message + e.value.hint


def test_a_token_in_a_comment_is_found(bench: Bench) -> None:
    bench.config.write_text(f"# {bench.controller.token}\n{bench.config.read_text()}")
    with pytest.raises(BuildError, match="the token is in another place, too"):
        bench.go()


def test_what_fails_in_between_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is whole, and the same command goes on with the same node."""

    def refuse(*_: object, **__: object) -> None:
        raise BuildError("the controller cannot be reached")

    with monkeypatch.context() as broken:
        broken.setattr(preauthorize, "_registered", refuse)
        with pytest.raises(BuildError, match="cannot be reached"):
            bench.go()
    node = bench.identity()[:10]
    assert yaml.safe_load(content(bench.image))["controller"] == {"kind": "none"}
    assert bench.go() == node and bench.member(node)["authorized"]


def test_no_tool_for_this_computer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = bench.config.parent / "foreign"
    (tool / "usr/sbin").mkdir(parents=True)
    (tool / "usr/sbin/zerotier-one").write_bytes(b"\x7fELF of another machine")
    (tool / "usr/sbin/zerotier-one").chmod(0o755)
    (tool / "DEBIAN").mkdir()
    (tool / "DEBIAN/control").write_text(
        "Package: zerotier-one\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\n"
        "Description: x\n"
    )
    package = bench.config.parent / "foreign.deb"
    run(["dpkg-deb", "--build", tool, package])
    with pytest.raises(BuildError, match=r"makes no identity here: .*Exec format error") as e:
        bench.go(package)
    assert "amd64" in e.value.hint
    monkeypatch.setattr(preauthorize, "which", lambda _: None)
    with pytest.raises(BuildError, match="nothing here makes a ZeroTier identity"):
        preauthorize.image(bench.image, bench.config, None, tool, bench.said.append)


@pytest.mark.parametrize(
    ("node", "prefix", "message"),
    [
        ("0123456789", None, "has no member 0123456789"),
        ("012345678", None, "a node id has 10 hexadecimal digits"),
        ("0123456789", "2600:db8::/56", "a global IPv6 /64 is needed"),
        ("0123456789", "fd00::/64", "a global IPv6 /64 is needed"),
        ("0123456789", "2600:db8::1/64", "a global IPv6 /64 is needed"),
    ],
)
def test_a_node_that_runs(bench: Bench, node: str, prefix: str | None, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        bench.node(node, prefix)
    assert bench.routes() == [("10.66.0.0/24", None)]
