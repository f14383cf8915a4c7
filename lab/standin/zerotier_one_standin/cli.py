"""zerotier-cli: asks the local API and prints what the real one prints."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import DEFAULT_HOME, NOTICE, VERSION_TEXT, client
from .coerce import Json
from .errors import StandinError

_HELP = """\
Usage: zerotier-cli [-switches] <command/path> [<args>]

Available switches:
  -h                      - Display this help
  -v                      - Show version
  -j                      - Display full raw JSON output
  -D<path>                - home path for parameter auto-detect
  -p<port>                - HTTP port (default: auto)
  -T<token>               - Authentication token (default: auto)

Available commands:
  info                    - Display status info
  listpeers               - List all peers
  peers                   - List all peers (prettier)
  listnetworks            - List all networks
  join <network ID>          - Join a network
  leave <network ID>         - Leave a network
  set <network ID> <setting> - Set a network setting
  get <network ID> <setting> - Get a network setting
  listmoons               - List moons (federated root sets)
  orbit <world ID> <seed> - Join a moon via any member root
  deorbit <world ID>      - Leave a moon
"""
_SETTINGS = ("allowManaged", "allowGlobal", "allowDefault", "allowDNS")
_USAGE, _FAILED = 2, 1


class _Service(NamedTuple):
    host: str
    port: int
    token: str
    as_json: bool

    def call(self, method: str, path: str, body: str = "") -> str:
        """The reply's body; StandinError as the real one words it."""
        try:
            status, reply = client.call(self.host, self.port, method, path, self.token, body)
        except OSError as error:
            message = f"Error connecting to the ZeroTier service: {error}"
            raise StandinError(
                f"{message}\n\nPlease check that the service is running and that TCP port {self.port} can be "
                f"contacted via {self.host}."
            ) from error
        if status != 200:
            raise StandinError(f"{status} {path} {reply}")
        return reply


def main(arguments: Sequence[str]) -> int:
    """Run one command; what goes wrong is printed as the real one prints it, on stdout."""
    switches = [each for each in arguments if each.startswith("-")]
    words = [each for each in arguments if not each.startswith("-")]
    if "-v" in switches:
        print(VERSION_TEXT)
        return 0
    if not words or "-h" in switches or any(each[1:2] not in "qjpDHTv" or each == "-" for each in switches):
        print(f"ZeroTier One version {VERSION_TEXT} ({NOTICE})\n{_HELP}", end="")
        return 0
    try:
        return _run(_service(switches), words)
    except StandinError as error:
        print(error.message, file=sys.stderr if error.hint else sys.stdout)
        return _USAGE if error.hint else _FAILED


def _service(switches: Sequence[str]) -> _Service:
    given = {each[1]: each[2:] for each in switches}
    home = Path(given.get("D") or DEFAULT_HOME)
    port = given.get("p") or _read(home / "zerotier-one.port")
    if not port.isdigit():
        raise StandinError(
            f"zerotier-cli: missing port and zerotier-one.port not found in {home}", "start it"
        )
    token = given.get("T") or _read(home / "authtoken.secret")
    token = token or _read(Path(os.environ.get("HOME", "/"), ".zeroTierOneAuthToken"))
    if not token:
        text = f"zerotier-cli: authtoken.secret not found or readable in {home} (try again as root)"
        raise StandinError(text, "become root")
    return _Service(given.get("H") or "127.0.0.1", int(port), token, "j" in given)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _run(service: _Service, words: list[str]) -> int:
    command, *rest = words
    if command.startswith("/"):
        print(service.call("GET", command), end="")
        return 0
    if command not in _COMMANDS:
        print(_HELP, end="", file=sys.stderr)
        return _USAGE
    return _COMMANDS[command](service, [*rest, "", ""])


def _print_json(value: Any) -> int:
    print(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False))
    return 0


def _info(service: _Service, _: list[str]) -> int:
    status = json.loads(service.call("GET", "/status"))
    if service.as_json:
        return _print_json(status)
    state = "ONLINE" if status["online"] else "OFFLINE"
    print(f"200 info {status['address']} {status['version']} {state}")
    print(NOTICE, file=sys.stderr)
    return 0


def _list_networks(service: _Service, _: list[str]) -> int:
    networks = json.loads(service.call("GET", "/network"))
    if service.as_json:
        return _print_json(networks)
    print("200 listnetworks <nwid> <name> <mac> <status> <type> <dev> <ZT assigned ips>")
    for each in networks:
        keys = ("nwid", "name", "mac", "status", "type", "portDeviceName")
        print("200 listnetworks", *(each[key] for key in keys), ",".join(each["assignedAddresses"]) or "-")
    return 0


def _preferred(peer: Json) -> Json | None:
    return next((path for path in peer["paths"] if path["preferred"]), None)


def _ages(path: Json) -> tuple[int, int]:
    now = int(time.time() * 1000)
    sent, received = path["lastSend"], path["lastReceive"]
    return now - sent if sent else -1, now - received if received else -1


def _version(peer: Json) -> str:
    return peer["version"] if peer["versionMajor"] >= 0 else "-"


def _list_peers(service: _Service, _: list[str]) -> int:
    peers = json.loads(service.call("GET", "/peer"))
    if service.as_json:
        return _print_json(peers)
    print("200 listpeers <ztaddr> <path> <latency> <version> <role>")
    for peer in peers:
        path = _preferred(peer)
        way = ";".join(map(str, (path["address"], *_ages(path)))) if path else "-"
        print("200 listpeers", peer["address"], way, peer["latency"], _version(peer), peer["role"])
    return 0


def _peers(service: _Service, _: list[str]) -> int:
    peers = json.loads(service.call("GET", "/peer"))
    if service.as_json:
        return _print_json(peers)
    print("200 peers\n<ztaddr>   <ver>  <role> <lat> <link>   <lastTX> <lastRX> <path>")
    for peer in peers:
        path = _preferred(peer)
        way = "RELAY"
        if path:
            sent, received = _ages(path)
            way = f"DIRECT   {sent:<8d} {received:<8d} {path['address']}"
        print(f"{peer['address']} {_version(peer):6s} {peer['role']:6s} {peer['latency']:5d} {way}")
    return 0


def _with_network(action: Callable[[_Service, list[str]], int]) -> Callable[[_Service, list[str]], int]:
    def checked(service: _Service, words: list[str]) -> int:
        if len(words[0]) != 16:
            print("invalid network id")
            return _USAGE
        return action(service, words)

    return checked


def _with_setting(
    verb: str, action: Callable[[_Service, list[str]], int]
) -> Callable[[_Service, list[str]], int]:
    def checked(service: _Service, words: list[str]) -> int:
        missing = "must be a 16-digit (network) ID" if len(words[0]) != 16 else ""
        if not missing and not words[1]:
            missing = f"include a property name to {verb}"
        if missing:
            print(f"invalid format: {missing}", file=sys.stderr)
            return _USAGE
        return action(service, words)

    return checked


def _join(service: _Service, words: list[str]) -> int:
    reply = service.call("POST", f"/network/{words[0]}", "{}")
    print(reply if service.as_json else "200 join OK", end="" if service.as_json else "\n")
    return 0


def _leave(service: _Service, words: list[str]) -> int:
    reply = service.call("DELETE", f"/network/{words[0]}")
    print(reply if service.as_json else "200 leave OK", end="" if service.as_json else "\n")
    return 0


def _set(service: _Service, words: list[str]) -> int:
    key, equals, value = words[1].partition("=")
    if not equals:
        print(_HELP, end="", file=sys.stderr)
        return _USAGE
    if key in _SETTINGS:
        body = json.dumps({key: value[:1] in ("t", "1")})
        print(service.call("POST", f"/network/{words[0]}", body), end="")
    return 0


def _get(service: _Service, words: list[str]) -> int:
    networks = json.loads(service.call("GET", "/network"))
    net = next((each for each in networks if each["id"] == words[0]), None)
    if net is None:
        print("unknown network ID, check that you are a member of the network", file=sys.stderr)
        return 0
    wanted = words[1]
    ips = [each.split("/")[0] for each in net["assignedAddresses"]]
    matching: dict[str, Callable[[str], bool]] = {
        "ip": lambda _: True,
        "ip4": lambda ip: "." in ip,
        "ip6": lambda ip: ":" in ip,
        "ip6plane": lambda ip: ip.startswith("fc"),
        "ip6prefix": lambda ip: ip.startswith("fc"),
    }
    if wanted in matching:
        found = [ip for ip in ips if matching[wanted](ip)]
        print("\n".join(ip[:24] if wanted == "ip6prefix" else ip for ip in found))
        return 0
    value = net.get(wanted)
    known = isinstance(value, str | int)  # booleans come out as 1 and 0, as in the real one
    print((value if isinstance(value, str) else int(value)) if known else "error, unknown property name")
    return 0


def _list_moons(service: _Service, _: list[str]) -> int:
    return _print_json(json.loads(service.call("GET", "/moon")))


def _orbit(service: _Service, words: list[str]) -> int:
    service.call("POST", f"/moon/{words[0]}", json.dumps({"seed": words[1]}))
    print("200 orbit OK")
    return 0


def _deorbit(service: _Service, words: list[str]) -> int:
    service.call("DELETE", f"/moon/{words[0]}")
    print("200 deorbit OK")
    return 0


_COMMANDS: dict[str, Callable[[_Service, list[str]], int]] = {
    "info": _info,
    "status": _info,
    "listnetworks": _list_networks,
    "listpeers": _list_peers,
    "peers": _peers,
    "join": _with_network(_join),
    "leave": _with_network(_leave),
    "set": _with_setting("set", _set),
    "get": _with_setting("get", _get),
    "listmoons": _list_moons,
    "orbit": _orbit,
    "deorbit": _deorbit,
}
