"""A machine that is all pretence: files below a temporary folder, tools, service and controller in memory."""

import json
import re
import shutil
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from ztgate import configfile, derive
from ztgate.controllers.base import MEMBER_KEYS, NETWORK_KEYS, Member, Network, pick
from ztgate.machine import Machine
from ztgate.paths import Paths

NETWORK = "116be780b4870839"
NODE = "116be780b4"
TOKEN = "Zq8nYb4mKc1vRt7uWx2pLs9dFg3hJa5e"
GOOD = f"""\
network: {NETWORK}
controller:
  token: "{TOKEN}"
"""
LINKS = """[{"ifname":"ens3","flags":["BROADCAST","UP","LOWER_UP"],"link_type":"ether","addr_info":[
 {"family":"inet","local":"203.0.1.10","prefixlen":24,"scope":"global"},
 {"family":"inet6","local":"2600:db8:0:1:5054:ff:fe12:3456","prefixlen":64,"scope":"global","dynamic":true},
 {"family":"inet6","local":"fe80::5054:ff:fe12:3456","prefixlen":64,"scope":"link"}]}]"""
ROUTES4 = '[{"dst":"default","gateway":"203.0.1.1","dev":"ens3","protocol":"dhcp","metric":1024,"flags":[]}]'
ROUTES6 = """[{"dst":"2600:db8:0:1::/64","dev":"ens3","protocol":"ra","metric":512,"flags":[]},
 {"dst":"default","gateway":"fe80::1","dev":"ens3","protocol":"ra","metric":512,"flags":[]}]"""


class FakeClock:
    """Time that passes only in sleep(); `at` holds what happens when."""

    def __init__(self) -> None:
        self.time = 40.0
        self.slept: list[float] = []
        self.at: dict[float, Callable[[], object]] = {}

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        for time in [time for time in self.at if time <= self.time]:
            self.at.pop(time)()


class FakeTools:
    """ip, nft, ping and systemctl: what they print, and what they were asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.links, self.routes4, self.routes6 = LINKS, ROUTES4, ROUTES6
        self.loaded = ""
        self.fast_path = ""  # what hangs on interfaces
        self.gates: set[tuple[str, str]] = set()  # routing rules, by family and interface
        self.proxies: dict[str, str] = {}  # addresses, by interface
        self.pings: Callable[[str], bool] = lambda host: True
        # The kernel has on ZeroTier's interface what the service says, but for what is taken from it.
        self.service: Callable[[], dict[str, Any]] = dict
        self.taken: set[str] = set()
        self.on_link = True  # whether the router asks for addresses of the prefix
        self.delegated = ""
        self.running = {"zerotier-one.service"}

    def __call__(self, argv: Any, *, stdin: str | None = None, timeout: float = 60) -> tuple[int, str]:
        argv = tuple(argv)
        self.calls.append(argv)
        match argv:
            case ("ip", "-j", "addr", "show"):
                return 0, self.links
            case ("ip", "-j", "-4", "route", "show"):
                return 0, self.routes4
            case ("ip", "-j", "-6", "route", "show"):
                return 0, self.routes6
            case ("nft", "-f", "-") if "table inet ztgate_fast {" in (stdin or ""):
                self.fast_path = stdin or ""
            case ("nft", "-f", "-"):
                self.loaded, self.fast_path = stdin or "", ""
            case ("nft", "-j", "list", "table", "inet", "ztgate_fast") if self.fast_path:
                return 0, _listed(self.fast_path)
            case ("nft", "-s", "-t", "list", "table", "inet", "ztgate"):
                return (0 if self.loaded else 1), self.loaded
            case ("ip", "-4" | "-6" as family, "-j", "rule"):
                found = [{"priority": 90, "iif": iif} for each, iif in self.gates if each == family]
                return 0, json.dumps(found)
            case ("ip", family, "rule", "add", "pref", "90", "iif", iif, *_):
                self.gates.add((family, iif))
            case ("ip", family, "rule", "del", "pref", "90", "iif", iif, *_):
                self.gates.discard((family, iif))
            case ("ping", *_, host):
                return (0 if self.pings(host) else 1), ""
            case ("networkctl", "--json=short", *_):
                return 0, self.delegated
            case ("ip", "-6", "neigh", "add", "proxy", address, "dev", interface):
                self.proxies[address] = interface
            case ("ip", "-6", "neigh", "del", "proxy", address, *_):
                self.proxies.pop(address)
            case ("systemctl", "start" | "restart", unit) | ("systemctl", "--no-block", "start", unit):
                self.running.add(unit)
            case ("systemctl", "stop", unit):
                self.running.discard(unit)
            case ("systemctl", "is-active", _, unit):
                return (0 if unit in self.running else 3), ""
            case ("ip", "-6", "-j", "neigh", "show", "proxy"):
                return 0, json.dumps([{"dst": dst, "dev": dev} for dst, dev in self.proxies.items()])
            case ("ip", "-6", "-j", "neigh", *_):
                return 0, "[]"
            case ("ip", "-j", "address", "show", "dev", _):
                return 0, json.dumps([{"addr_info": [_address_row(text) for text in self._own()]}])
            case ("ip", "-j", family, "route", "show", "dev", _):
                return 0, json.dumps(self._routes(6 if family == "-6" else 4))
            case ("ip", "address", "replace", address, *_):
                self.taken.discard(address)
        return 0, ""

    def _own(self) -> list[str]:
        return [text for text in self.service().get("assignedAddresses", []) if text not in self.taken]

    def _routes(self, version: int) -> list[dict[str, Any]]:
        """Those that come with addresses, and those with a next hop except the defaults."""
        rows = [{"dst": str(ip_interface(text).network), "protocol": "kernel"} for text in self._own()]
        for row in self.service().get("routes", []):
            if row.get("via"):
                rows.append({"dst": row["target"], "gateway": row["via"], "protocol": "static"})
        nets = {row["dst"]: ip_network(row["dst"]) for row in rows}
        return [row for row in rows if (net := nets[row["dst"]]).prefixlen and net.version == version]


def _listed(rules: str) -> str:
    chains = [{"chain": {"name": name}} for name in re.findall(r"\bchain (\w+) {", rules)]
    tables = [{"flowtable": {"dev": dev.split(", ")}} for dev in re.findall("devices = { (.+) }", rules)]
    return json.dumps({"nftables": [*chains, *tables]})


def _address_row(text: str) -> dict[str, Any]:
    address = ip_interface(text)
    return {"local": str(address.ip), "prefixlen": address.network.prefixlen}


class FakeListener:
    """Hears solicitations for whatever is in the proxy table, if the prefix is on-link."""

    def __init__(self, tools: FakeTools) -> None:
        self.tools = tools

    def heard(self) -> set[IPv6Address]:
        return {IPv6Address(text) for text in self.tools.proxies} if self.tools.on_link else set()

    def close(self) -> None:
        pass


class FakeController:
    """A controller that keeps what it is told."""

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        self.settings = settings if settings is not None else {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls = 0

    def network(self, network: str) -> Network:
        self.calls += 1
        return Network(network, pick(self.settings, NETWORK_KEYS))

    def members(self, network: str) -> dict[str, Member]:
        self.calls += 1
        return {
            node: Member(node, str(data.get("name", "")), pick(data, MEMBER_KEYS))
            for node, data in self.rows.items()
        }

    def member(self, network: str, node: str) -> Member | None:
        return self.members(network).get(node)

    def check_power(self, network: str, *, delete: bool = False) -> None:
        pass

    def delete_member(self, network: str, node: str) -> None:
        self.calls += 1
        self.rows.pop(node, None)

    def write_network(self, network: str, changes: dict[str, Any]) -> None:
        self.calls += 1
        self.settings.update(changes)

    def write_member(self, network: str, node: str, changes: dict[str, Any]) -> None:
        self.calls += 1
        self.rows.setdefault(node, {}).update(changes)


class FakeService:
    """ZeroTier's local service as the controller above makes it."""

    def __init__(self, controller: FakeController) -> None:
        self.controller = controller
        self.joined = False
        self.flags: dict[str, Any] = {}
        self.deleted = False  # the network, at its controller

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        if path == "/status":
            return 200, {"address": NODE, "config": {"settings": {"primaryPort": 9993}}}
        if path == "/peer":
            return 200, [
                {"address": "54f03b7f83", "role": "LEAF"},
                {"address": "aaaaaaaaaa", "role": "PLANET"},
            ]
        if path.startswith("/network/") and method == "POST":
            self.joined, self.flags = True, body or {}
            return 200, {}
        if path.startswith("/network/"):
            return (200, self._network()) if self.joined else (404, {})
        return 404, {}

    def network(self) -> dict[str, Any]:
        """The joined network; {} before."""
        return self._network() if self.joined else {}

    def _network(self) -> dict[str, Any]:
        own = self.controller.rows.get(NODE, {})
        routes = self.controller.settings.get("routes", [])
        assigned = [_assigned(text, routes) for text in own.get("ipAssignments", []) if ":" not in text]
        for row in routes:
            if str(row["target"]).endswith("/80"):
                assigned.append(f"{derive.member_address(IPv6Network(row['target']), NODE)}/80")
        if (self.controller.settings.get("v6AssignMode") or {}).get("rfc4193"):
            assigned.append(f"{derive.rfc4193(NETWORK, NODE)}/88")
        status = "OK" if own.get("authorized") else "ACCESS_DENIED"
        return {
            "id": NETWORK,
            "status": "NOT_FOUND" if self.deleted else status,
            "portDeviceName": "ztshpwbcen",
            "mtu": 1390,
            "assignedAddresses": [text for text in assigned if text],
            "routes": routes,
            **self.flags,
        }


def _assigned(text: str, routes: list[dict[str, Any]]) -> str:
    """An IPv4 address as the real controller sends it: as long as its range, beside a default route a /0."""
    targets = [ip_network(row["target"], strict=False) for row in routes]
    fit = [net for net in targets if net.version == 4 and ip_address(text) in net]
    return f"{text}/{max(net.prefixlen for net in fit)}" if fit else ""


def machine(root: Path, controller: FakeController | None = None, text: str = GOOD) -> Machine:
    """A machine with a configuration on its FAT partition."""
    paths = Paths(root)
    paths.tun = Path("/dev/null")
    paths.sysctl = root / "proc/sys"
    paths.interfaces = root / "sys/class/net"
    paths.fat.mkdir(parents=True, exist_ok=True)
    paths.synchronized.parent.mkdir(parents=True, exist_ok=True)
    paths.synchronized.touch()
    if text:
        paths.fat_config.write_text(text)
    pretended = FakeTools()
    made = Machine(paths, clock=FakeClock(), probe=pretended)
    made.listen_for_solicitations = lambda interface: FakeListener(pretended)
    fake = FakeService(controller or FakeController())
    made.service.call = fake.call  # type: ignore[method-assign]
    pretended.service = fake.network
    return made


def with_console(made: Machine) -> Path:
    """Pretend that there is a console; what is shown on it is in this file."""
    made.paths.consoles.parent.mkdir(parents=True)
    made.paths.consoles.write_text("ttyS0\n")
    shown = made.paths.root / "dev/ttyS0"
    shown.parent.mkdir()
    shown.touch()
    return shown


def forget_boot(paths: Paths, pretended: FakeTools) -> None:
    """What a reboot forgets: ztgate's folder in /run, units that it started and proxies."""
    for path in (*paths.run_dir.glob("*"), paths.page_socket.parent):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    pretended.proxies.clear()
    pretended.running = {"zerotier-one.service"}


def tools(made: Machine) -> FakeTools:
    """The pretended tools of a machine."""
    assert isinstance(made.probe, FakeTools)
    return made.probe


def found(made: Machine) -> configfile.Found:
    """Its configuration."""
    return configfile.find(made.paths)
