"""The commands that controller.kind: none shows for a self-hosted controller, run as they are shown."""

import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from ztgate import by_hand
from ztgate.by_hand import Want
from ztgate.zerotier import Network, parse_network

from lab.standin.zerotier_one_standin import minihttp

from .conftest import Service

SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
THEIRS: dict[str, Any] = {
    "routes": [{"target": "10.66.0.0/24", "via": None}, {"target": "192.168.7.0/24", "via": "10.66.0.50"}],
    "ipAssignmentPools": [{"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}],
    "v6AssignMode": {"6plane": True},
}


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    """The service's API over HTTP."""
    listeners = minihttp.serve(0, service.api.handle)
    yield listeners[0].getsockname()[1]
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)  # close() alone leaves it listening as long as a thread accepts
        listener.close()


def shell(service: Service, port: int, lines: tuple[str, ...]) -> int:
    """Run the lines, with this controller's door and token instead of the usual ones."""
    text = "\n".join(("set -e", *lines)).replace("127.0.0.1:9993", f"127.0.0.1:{port}")
    home = str(service.node.home.path)
    text = text.replace("sudo ", "").replace("/var/lib/zerotier-one", home)
    return subprocess.run(["bash", "-c", text], stdin=subprocess.DEVNULL, timeout=60).returncode


def look(service: Service) -> Network:
    """The network as the member sees it, when it has asked once more."""
    content = {"nw": service.own_network, "v": "1.14.1", "identity": service.node.identity.public_text}
    service.node._on_request(service.node.address, content)
    service.work()
    return parse_network(service.json("GET", f"/network/{service.own_network}"))


def want(service: Service) -> Want:
    node = service.node.identity.address_text
    return Want(service.own_network, node, None, IPv4Network("203.0.1.0/24"), SUBNET)


@pytest.mark.parametrize("theirs", [THEIRS, {}])
def test_step_by_step_to_a_gateway(service: Service, port: int, theirs: dict[str, Any]) -> None:
    """What is missing is done as it is shown, until nothing is; what was there before stays."""
    nwid = service.own_network
    service.json("POST", f"/controller/network/{nwid}", theirs)
    service.json("POST", f"/network/{nwid}", {"allowManaged": True, "allowGlobal": True})
    rounds = 0
    while items := by_hand.missing(want(service), look(service)):
        assert shell(service, port, by_hand.commands(nwid, items)) == 0
        rounds += 1
        assert rounds <= 4, [item.short for item in items]
    after = service.json("GET", f"/controller/network/{nwid}")
    for key in ("routes", "ipAssignmentPools"):
        kept = [{k: row[k] for k in old} for old in theirs.get(key, []) for row in after[key][:2]]
        assert all(old in kept for old in theirs.get(key, []))
    assert after["v6AssignMode"] == {"6plane": False, "rfc4193": True, "zt": True}
    assert len({str(row) for row in after["ipAssignmentPools"]}) == len(after["ipAssignmentPools"]) == 2


def test_nothing_is_written_where_nothing_could_be_read(service: Service, port: int) -> None:
    """A POST would make the network."""
    before = service.json("GET", "/controller/network")
    seen = parse_network({"id": service.own_network, "status": "OK", "assignedAddresses": [], "routes": []})
    lines = by_hand.commands(service.own_network, by_hand.missing(want(service), seen))
    for line in lines[len(by_hand.FUNCTIONS) :]:
        assert shell(service, port, (*lines[: len(by_hand.FUNCTIONS)], line)) != 0
    assert service.json("GET", "/controller/network") == before == []
