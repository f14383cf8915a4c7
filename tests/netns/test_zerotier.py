"""The daemon under test in namespaces: what the gateway and the lab rely on, quirks included.

The same tests pass with the real daemon (--zerotier) and with the stand-in.
"""

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.standin.zerotier_one_standin import derive
from tests.netns.zerotier_world import CLIENT, DEFAULT, GATEWAY, HALVES, INTERNET, LAN, World

Json = dict[str, Any]
PLAIN_LAN = {"target": "10.67.0.0/24"}
POOL_ROUTE = "2600:db8:0:2:ff::/80"
LAST = {"target": "172.31.0.0/16", "via": GATEWAY}  # routes are set in the order of their targets
RECORDED = Path(__file__).parents[1] / "unit/standin/recorded_replies.json"


@pytest.fixture(scope="module")
def world(zerotier_deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(zerotier_deb, tmp_path_factory.mktemp("zerotier"))
    yield world
    world.stop()


@dataclass(frozen=True)
class Networks:
    """The networks that cl has joined; all at once, because each takes seconds."""

    tunnel: str  # with a default route through gw, which cl lets have everything
    plain: str
    closed: str  # where nobody is let in
    missing: str  # the controller does not have it
    first_reply: Json  # to the request that joined the closed one


@pytest.fixture(scope="module")
def networks(world: World) -> Networks:
    tunnel, plain, closed = world.create([LAN, DEFAULT]), world.create([PLAIN_LAN]), world.create([LAN])
    missing = f"{world.nodes['moon'].address}abcdef"
    for nwid, gateway, client in ((tunnel, GATEWAY, CLIENT), (plain, "10.67.0.1", "10.67.0.2")):
        world.let_in(nwid, "gw", gateway)
        world.let_in(nwid, "cl", client)
    cl = world.nodes["cl"]
    first_reply = cl.api("POST", f"/network/{closed}")
    cl.join(missing)
    cl.join(tunnel, allowDefault=True, allowGlobal=True)
    for nwid in (plain, tunnel):
        world.join(nwid, "gw", "cl")
    world.wait("the full tunnel", lambda: world.routes("cl", tunnel).keys() >= HALVES)
    return Networks(tunnel, plain, closed, missing, first_reply)


@pytest.fixture
def tunnel(networks: Networks) -> str:
    return networks.tunnel


@pytest.fixture
def plain(networks: Networks) -> str:
    return networks.plain


def test_status_says_where_the_node_is(world: World) -> None:
    status = world.nodes["cl"].api("GET", "/status")
    recorded = json.loads(RECORDED.read_text())["GET /status"]
    assert status.keys() == recorded.keys()
    assert status["version"].startswith("1.14.")
    assert {"203.0.3.10/9993", "2600:db8:0:3::10/9993"} <= set(status["config"]["settings"]["listeningOn"])
    world.wait("a surface address", lambda: _surface(world) != [])
    assert "203.0.3.10/9993" in _surface(world)


def _surface(world: World) -> list[str]:
    found = world.nodes["cl"].api("GET", "/status")["config"]["settings"]["surfaceAddresses"]
    return [str(each) for each in found]


@pytest.mark.parametrize(
    ("path", "curl", "status", "body"),
    [
        ("/status", [], 401, "{}"),
        ("/status", ["-HX-ZT1-Auth: wrong", "-HAuthorization: Bearer TOKEN"], 401, "{}"),
        ("/status?auth=wrong", ["-HAuthorization: Bearer TOKEN"], 401, "{}"),
        ("/network/8056c2e21c000001", ["-HX-ZT1-Auth: TOKEN"], 404, "{}"),
        ("/nowhere", ["-HX-ZT1-Auth: TOKEN"], 404, ""),
        ("/nowhere", [], 401, "{}"),
        ("/controller/network/8056c2e21c000001", ["-HX-ZT1-Auth: TOKEN"], 404, ""),
        ("/controller/network/8056c2e21c______", ["-HX-ZT1-Auth: TOKEN", "-d{}"], 400, ""),
        ("/controller/network/8056c2e21c000001/member/8056c2e21c", ["-HX-ZT1-Auth: TOKEN", "-d{}"], 404, ""),
        ("/network/8056c2e21c000001", ["-HX-ZT1-Auth: TOKEN", "-XDELETE"], 200, "{}"),
        ("/peer/8056c2e21c", ["-HX-ZT1-Auth: TOKEN"], 200, "{}"),
        ("/metrics", [], 401, "{}"),
    ],
)
def test_status_codes(world: World, path: str, curl: list[str], status: int, body: str) -> None:
    words = [word.replace("TOKEN", world.token("moon")) for word in curl]
    assert world.http("moon", path, *words) == (status, body)


@pytest.mark.parametrize("how", ["-HX-ZT1-Auth: TOKEN", "-HAuthorization: Bearer TOKEN", "?auth=TOKEN"])
def test_three_ways_to_show_the_token(world: World, how: str) -> None:
    word = how.replace("TOKEN", world.token("cl"))
    path, curl = (f"/status{word}", []) if how.startswith("?") else ("/status", [word])
    assert world.http("cl", path, *curl)[0] == 200


def test_health_needs_no_token_and_the_rest_no_stranger(world: World) -> None:
    token = f"-HX-ZT1-Auth: {world.token('cl')}"
    assert world.http("cl", "/health")[0] == 200
    assert world.http("router", "/health", to="203.0.3.10") == (401, "{}")
    assert world.http("router", "/status", token, to="203.0.3.10") == (401, "{}")
    assert world.http("router", "/metrics", token, to="203.0.3.10")[0] == 200  # no check of the address


def test_a_body_that_is_not_json(world: World) -> None:
    token = f"-HX-ZT1-Auth: {world.token('moon')}"
    status, body = world.http("moon", "/controller/network/8056c2e21c000001", token, "-dnonsense")
    assert status == 500
    assert body.startswith('{"error": 500, "description": "[json.exception.parse_error.101] ')


def test_states_on_the_way_into_a_network(world: World, networks: Networks) -> None:
    recorded = json.loads(RECORDED.read_text())
    nwid, cl = networks.closed, world.nodes["cl"]
    asked = recorded["POST /network/<nwid> immediately (not yet known to controller)"]
    own = {"id": nwid, "nwid": nwid, "portDeviceName": world.device(nwid)}
    own["mac"] = derive.mac_text(derive.mac(int(nwid, 16), int(cl.address, 16)))
    assert networks.first_reply == {**asked, **own}
    world.wait("a refusal", lambda: _status(world, "cl", nwid) == "ACCESS_DENIED")
    denied = {**cl.api("GET", f"/network/{nwid}"), "multicastSubscriptions": []}
    assert denied == {**recorded["GET /network/<nwid> ACCESS_DENIED"], **own, "multicastSubscriptions": []}
    world.controller(f"/network/{nwid}", {"routes": [{"target": "10.68.0.0/24"}]})
    world.let_in(nwid, "cl", "10.68.0.2")
    world.wait("admission", lambda: _status(world, "cl", nwid) == "OK")
    assert cl.network(nwid).keys() == recorded["GET /network/<nwid> OK"].keys()


def _status(world: World, name: str, nwid: str) -> str:
    return str(world.nodes[name].api("GET", f"/network/{nwid}")["status"])


def test_a_network_that_does_not_exist(world: World, networks: Networks) -> None:
    world.wait("NOT_FOUND", lambda: _status(world, "cl", networks.missing) == "NOT_FOUND")
    assert world.nodes["cl"].api("DELETE", f"/network/{networks.missing}") == {"result": True}


def test_frames_travel(world: World, tunnel: str) -> None:
    device = json.loads(world.hosts["cl"].run("ip", "-j", "link", "show", "dev", world.device(tunnel)))[0]
    assert device["mtu"] == 1390
    assert device["address"] == world.nodes["cl"].network(tunnel)["mac"]
    own = derive.rfc4193(int(tunnel, 16), int(world.nodes["cl"].address, 16))
    assert world.addresses("cl", tunnel) == {f"{CLIENT}/24", str(own)}
    gateway = derive.rfc4193(int(tunnel, 16), int(world.nodes["gw"].address, 16))
    for address in (GATEWAY, str(gateway.ip)):
        world.wait(f"{address} to answer", lambda to=address: world.hears("cl", to))  # type: ignore[misc]
    # Whole packets of the network's MTU: 1362 and 28 octets of headers.
    world.hosts["cl"].run("ping", "-c1", "-W2", "-Mdo", "-s1362", GATEWAY)


def test_the_full_tunnel(world: World, tunnel: str) -> None:
    routes = world.routes("cl", tunnel)
    for half in HALVES:
        expected = {"gateway": GATEWAY, "protocol": "static", "metric": 5000}
        assert expected.items() <= routes[half].items()
    world.wait("the internet through the tunnel", lambda: world.hears("cl", INTERNET))
    first_hop = world.hosts["cl"].run("ip", "-j", "route", "get", INTERNET)
    assert json.loads(first_hop)[0]["dev"] == world.device(tunnel)
    peers = {peer["address"]: peer for peer in world.nodes["cl"].api("GET", "/peer")}
    assert peers[world.nodes["moon"].address]["role"] == "MOON"
    assert any(path["preferred"] for path in peers[world.nodes["gw"].address]["paths"])
    # The gateway's own node leaves out the route that leads through itself, even when it is let have it.
    world.nodes["gw"].join(tunnel, allowDefault=True)
    assert not world.routes("gw", tunnel).keys() & HALVES


def test_a_changed_next_hop_never_reaches_the_kernel(world: World, tunnel: str) -> None:
    world.controller(f"/network/{tunnel}", {"routes": [LAN, {**DEFAULT, "via": "10.66.0.77"}]})
    try:
        world.wait("the new next hop", lambda: "10.66.0.77" in _vias(world, tunnel))
        assert world.routes("cl", tunnel)["0.0.0.0/1"]["gateway"] == GATEWAY
    finally:
        world.controller(f"/network/{tunnel}", {"routes": [LAN, DEFAULT]})
    world.wait("the old next hop", lambda: GATEWAY in _vias(world, tunnel))


def _vias(world: World, nwid: str) -> list[str | None]:
    return [route["via"] for route in world.nodes["cl"].network(nwid)["routes"]]


def test_a_stray_address_takes_the_default_route_away(world: World, tunnel: str) -> None:
    world.let_in(tunnel, "cl", "10.77.0.2")
    world.wait("the stray address", lambda: "10.77.0.2/0" in world.addresses("cl", tunnel))
    assert not world.routes("cl", tunnel).keys() & HALVES
    world.settle()
    world.let_in(tunnel, "cl", CLIENT)
    world.wait("the routes to return", lambda: world.routes("cl", tunnel).keys() >= HALVES)
    world.settle()


def test_of_two_default_routes_the_first_counts(world: World, tunnel: str) -> None:
    both = [LAN, DEFAULT, {**DEFAULT, "via": "10.66.0.78"}]
    world.controller(f"/network/{tunnel}", {"routes": both})
    world.wait("both", lambda: len(_vias(world, tunnel)) == 3)
    assert world.routes("cl", tunnel)["0.0.0.0/1"]["gateway"] == GATEWAY
    world.controller(f"/network/{tunnel}", {"routes": [LAN, DEFAULT]})


@pytest.mark.parametrize(
    ("route", "is_set"),
    [
        ({"target": "172.16.0.0/16", "via": GATEWAY}, True),
        ({"target": "172.17.0.5/16", "via": GATEWAY}, False),  # host bits: the kernel refuses
        ({"target": "172.18.0.0/16"}, False),  # on-link, without an address of its own there
        ({"target": "172.19.0.0/16", "via": CLIENT}, False),  # through itself
        ({"target": "172.20.0.0/16", "via": "172.21.0.1"}, False),  # through nowhere
        ({"target": "fd77::/64"}, False),
    ],
)
def test_which_routes_reach_the_kernel(world: World, tunnel: str, route: Json, is_set: bool) -> None:
    world.controller(f"/network/{tunnel}", {"routes": [LAN, DEFAULT, route, LAST]})
    family = "-6" if ":" in route["target"] else "-4"
    try:
        world.wait("the last route", lambda: LAST["target"] in world.routes("cl", tunnel))
        assert (route["target"] in world.routes("cl", tunnel, family)) is is_set
    finally:
        world.controller(f"/network/{tunnel}", {"routes": [LAN, DEFAULT]})
        world.wait("it to go", lambda: LAST["target"] not in world.routes("cl", tunnel))


def test_settings_are_obeyed_at_once(world: World, tunnel: str) -> None:
    world.nodes["cl"].join(tunnel, allowDefault=False)
    world.wait("no halves", lambda: not world.routes("cl", tunnel).keys() & HALVES)
    world.nodes["cl"].join(tunnel, allowDefault=True)
    world.wait("the halves", lambda: world.routes("cl", tunnel).keys() >= HALVES)
    kept = (world.nodes["cl"].home / f"networks.d/{tunnel}.local.conf").read_text().split()
    assert set(kept) == {"allowManaged=1", "allowGlobal=1", "allowDefault=1", "allowDNS=0"}


def test_global_addresses_and_routes_need_permission(world: World, plain: str) -> None:
    routes = [PLAIN_LAN, {"target": POOL_ROUTE}, {"target": "8.8.4.0/24", "via": "10.67.0.1"}]
    world.controller(f"/network/{plain}", {"routes": routes})
    world.let_in(plain, "cl", "10.67.0.2", "2600:db8:0:2:ff::2")
    address = "2600:db8:0:2:ff::2/80"
    world.wait("the address", lambda: address in world.assigned("cl", plain))
    assert address not in world.addresses("cl", plain)
    world.settle()
    assert "8.8.4.0/24" not in world.routes("cl", plain)
    world.nodes["cl"].join(plain, allowGlobal=True)
    world.wait("the address in the kernel", lambda: address in world.addresses("cl", plain))
    world.wait("the route", lambda: "8.8.4.0/24" in world.routes("cl", plain))
    world.settle()


def test_a_networks_dns_setting(world: World, plain: str) -> None:
    """It is an object that can be emptied, and never taken away; members are told of it word for word."""
    path = f"/network/{plain}"
    rfc4193 = str(derive.rfc4193(int(plain, 16), int(world.nodes["gw"].address, 16)).ip)
    nothing: Json = {"domain": "", "servers": []}
    assert world.controller(path)["dns"] == []
    ours = {"domain": "net.example.org", "servers": [GATEWAY, rfc4193]}
    for setting in (ours, nothing):
        world.controller(path, {"dns": setting})
        assert world.controller(path)["dns"] == setting
        world.wait("the member to be told", partial(_is_told_dns, world, plain, setting))
    world.controller(path, {"dns": []})
    assert world.controller(path)["dns"] == nothing, "no change"


def _is_told_dns(world: World, nwid: str, setting: Json) -> bool:
    return bool(world.nodes["cl"].api("GET", f"/network/{nwid}")["dns"] == setting)


def test_addresses_from_pools(world: World, plain: str) -> None:
    pool6 = {"ipRangeStart": "2600:db8:0:2:ff::", "ipRangeEnd": "2600:db8:0:2:ff:ffff:ffff:ffff"}
    pool4 = {"ipRangeStart": "10.67.0.100", "ipRangeEnd": "10.67.0.250"}
    body = {
        "routes": [PLAIN_LAN, {"target": POOL_ROUTE}],
        "ipAssignmentPools": [pool4, pool6],
        "v4AssignMode": {"zt": True},
        "v6AssignMode": {"zt": True},  # the other ways are off then
    }
    world.controller(f"/network/{plain}", body)
    world.let_in(plain, "cl")
    node = int(world.nodes["cl"].address, 16)
    start6 = int(ipaddress.IPv6Address("2600:db8:0:2:ff::"))
    expected = {f"{ipaddress.IPv6Address(start6 + node)}/80", f"10.67.0.{100 + (node & 0xFFFFFFFF) % 150}/24"}
    world.wait("addresses", lambda: world.assigned("cl", plain) == expected)
    world.settle()
    member = world.controller(f"/network/{plain}/member/{world.nodes['cl'].address}")
    assert {f"{ip}/80" if ":" in ip else f"{ip}/24" for ip in member["ipAssignments"]} == expected


def test_no_automatic_addresses_means_no_private_one_either(world: World, plain: str) -> None:
    world.controller(f"/network/{plain}", {"v6AssignMode": {"rfc4193": True}, "v4AssignMode": {"zt": True}})
    private = str(derive.rfc4193(int(plain, 16), int(world.nodes["cl"].address, 16)))
    world.let_in(plain, "cl", "10.67.0.2")
    world.wait("both", lambda: world.assigned("cl", plain) == {"10.67.0.2/24", private})
    world.let_in(plain, "cl", "10.67.0.2", noAutoAssignIps=True)
    world.wait("only one", lambda: world.assigned("cl", plain) == {"10.67.0.2/24"})
    world.settle()


def test_changes_arrive_and_a_removed_member_is_out(world: World, plain: str) -> None:
    world.controller(f"/network/{plain}", {"mtu": 1300, "name": "renamed"})
    world.wait("the new name", lambda: world.nodes["cl"].network(plain)["name"] == "renamed")
    world.wait("the new MTU", lambda: "mtu 1300 " in world.hosts["cl"].run("ip", "link"))
    world.wait("an answer", lambda: world.hears("cl", "10.67.0.1"))
    world.let_in(plain, "cl", "10.67.0.2", authorized=False)
    # It is not told: it finds out when it next asks, up to a minute later. The others are told.
    world.wait("silence", lambda: not world.hears("cl", "10.67.0.1"))


def test_the_command_line(world: World, tunnel: str) -> None:
    cl = world.nodes["cl"]
    words: list[str | Path] = [cl.package.daemon, "-q", f"-D{cl.home}"]
    run = world.hosts["cl"].run
    assert run(*words, "info").split()[:5] == ["200", "info", cl.address, "1.14.1", "ONLINE"]
    lines = run(*words, "listnetworks").splitlines()
    assert lines[0] == "200 listnetworks <nwid> <name> <mac> <status> <type> <dev> <ZT assigned ips>"
    fields = next(line.split() for line in lines[1:] if tunnel in line)
    assert (fields[3], fields[5:8]) == ("lab", ["OK", "PRIVATE", world.device(tunnel)])
    assert json.loads(run(*words, "-j", "listnetworks"))[0]["id"]
    assert json.loads(run(*words, "listmoons"))[0]["id"] == f"000000{world.nodes['moon'].address}"
    assert run(*words, "get", tunnel, "ip4").strip() == CLIENT
    assert json.loads(run(*words, "set", tunnel, "allowDNS=1"))["allowDNS"] is True
    assert run(*words, "join", "8056c2e21c000001").strip() == "200 join OK"
    assert run(*words, "leave", "8056c2e21c000001").strip() == "200 leave OK"
    with pytest.raises(LabError, match="invalid network id"):
        run(*words, "join", "123")


def test_stopped_and_started_again(world: World, tunnel: str) -> None:
    cl = world.nodes["cl"]
    before = cl.address, world.token("cl")
    cl.stop()
    assert world.device(tunnel) not in world.hosts["cl"].run("ip", "link")
    assert not HALVES & set(world.hosts["cl"].run("ip", "route").split())
    cl.start()
    world.wait("the address", lambda: f"{CLIENT}/24" in world.addresses("cl", tunnel))
    identity = (cl.home / "identity.secret").read_text()
    assert (identity.split(":")[0], world.token("cl")) == before
    world.wait("an answer", lambda: world.hears("cl", GATEWAY))


def test_joined_by_files_before_the_start(world: World) -> None:
    gw, network = world.nodes["gw"], world.create([{"target": "10.69.0.0/24"}])
    world.let_in(network, "gw", "10.69.0.1")
    gw.stop()
    (gw.home / f"networks.d/{network}.conf").touch()
    (gw.home / f"networks.d/{network}.local.conf").write_text("allowManaged=1\nallowGlobal=1\n")
    with (gw.home / "devicemap").open("a") as devicemap:
        devicemap.write(f"{network}=ztgw0\n")
    gw.start()
    world.wait("admission", lambda: _status(world, "gw", network) == "OK")
    found = gw.network(network)
    assert (found["portDeviceName"], found["allowGlobal"], found["allowDefault"]) == ("ztgw0", True, False)
