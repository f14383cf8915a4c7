"""A Mac as far as join-macos.sh looks at it: one program under the names of those that the script calls.

It keeps the Mac's state in $FAKE_MAC/state.json and notes each call in $FAKE_MAC/calls. What zerotier-cli
prints are recordings of the real one; the rest answers as the manual pages of macOS say. It proves the
script's sequence of commands, not macOS.

It is started some thousand times in a run of the tests, so it imports little.
"""
# ruff: noqa: PTH104, PTH119, PTH120, PTH123

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


HOME = os.environ["FAKE_MAC"]
STATE: dict[str, Any] = json.loads(read(f"{HOME}/state.json"))
RECORDED = json.loads(read(f"{os.path.dirname(__file__)}/recordings.json"))
OURS: str = RECORDED["ok"]["id"]
DEVICE = "feth2016"
CHANGES = {"join", "leave", "set", "-setdnsservers", "-f", "-E", "-X", "bootstrap", "bootout"}


def phase() -> str:
    """How far our network is: the script of phases goes on with each look, its last stays."""
    looks = STATE["networks"][OURS]["looks"]
    phases = STATE["phases"]
    return str(phases[min(looks, len(phases) - 1)])


def network(name: str) -> dict[str, Any]:
    shape = {**RECORDED["ok" if name != OURS else phase()], **STATE["networks"][name]["allow"]}
    shape |= {"id": name, "nwid": name, "portDeviceName": DEVICE if name == OURS else "feth99"}
    if name == OURS and phase() == "ok" and STATE["gateway6"]:
        # The lab of the recording had none; written as the route of IPv4 beside it.
        via = "fd11:6be7:80b4:8708:3999:9311:6be7:80b4"
        shape["routes"] = [*shape["routes"], {"flags": 0, "metric": 0, "target": "::/0", "via": via}]
    if name == OURS and not STATE["dns"]:
        shape["dns"] = {"domain": "", "servers": []}
    return shape


def zerotier_cli(words: list[str]) -> int:
    if STATE["down"]:
        print(RECORDED["down"])
        return 1
    networks = STATE["networks"]
    match words:
        case ["-j", "info"]:
            print(json.dumps(RECORDED["info"], indent=1))
        case ["-j", "listnetworks"]:
            print(json.dumps([network(name) for name in networks], indent=1))
            if OURS in networks:
                networks[OURS]["looks"] += 1
        case ["join", name]:
            allow = {"allowManaged": True, "allowGlobal": False, "allowDefault": False, "allowDNS": False}
            networks.setdefault(name, {"allow": allow, "looks": 0})
            print("200 join OK")
        case ["leave", name]:
            networks.pop(name, None)
            print("200 leave OK")
        case ["set", name, setting]:
            key, value = setting.split("=")
            # As the real one: to set something of a network joins it.
            networks.setdefault(name, {"allow": dict.fromkeys(STATE["keys"], False), "looks": 0})
            networks[name]["allow"][key] = value[0] in "1t"
            STATE["toggled"] |= name == OURS and setting == "allowGlobal=0"
    return 0


def leaves_by(family: int) -> str:
    """The interface of what goes to the internet."""
    if OURS in STATE["networks"] and not STATE["down"]:
        shape = network(OURS)
        target = "::/0" if family == 6 else "0.0.0.0/0"
        routes = [one for one in shape["routes"] if one["target"] == target]
        taken = STATE["toggled"] or not STATE["stubborn"]
        if routes and shape["allowDefault"] and shape["allowGlobal"] and taken:
            return DEVICE
    return "en0" if family == 4 or STATE["line6"] else ""


def family_of(address: str) -> int:
    return 6 if ":" in address else 4


def route(words: list[str]) -> int:
    address = words[-1]
    device = "en0" if address.startswith("192.168.") else leaves_by(family_of(address))
    device = DEVICE if address.startswith("10.66.") and OURS in STATE["networks"] else device
    if not device:
        print("route: writing to routing socket: not in table", file=sys.stderr)
        return 0
    via = "10.66.0.1" if device == DEVICE else "192.168.1.1"
    print(f"   route to: {address}\ndestination: default\n    gateway: {via}\n  interface: {device}")
    return 0


def blocked() -> bool:
    rules = "".join(STATE["pf"]["rules"].values())
    return bool(STATE["pf"]["tokens"]) and "block return out quick all" in rules


def curl(words: list[str]) -> int:
    family = int(words[0][1])
    device = leaves_by(family)
    if not device or (device == "en0" and blocked()):
        return 7
    seen = {(4, DEVICE): "203.0.113.7", (6, DEVICE): RECORDED["ok"]["assignedAddresses"][1].split("/")[0]}
    address = seen.get((family, device), "198.51.100.20" if family == 4 else "2001:db8:77::5")
    print(STATE["answer"].replace("ADDRESS", address))
    return 0


def nameserver() -> str:
    return next((servers[0] for servers in STATE["services"].values() if servers), "192.168.1.1")


def dscacheutil(words: list[str]) -> int:
    if words[0] == "-q":
        seen = "203.0.113.7" if nameserver() == "10.66.0.1" else "198.51.100.53"
        print(f"name: {words[-1]}\nip_address: {seen}\n")
    return 0


def scutil(_: list[str]) -> int:
    print(
        f"DNS configuration\n\nresolver #1\n  nameserver[0] : {nameserver()}\n"
        "  flags    : Request A records\n\n"
        "resolver #2\n  domain   : local\n  options  : mdns\n\nDNS configuration (for scoped queries)\n\n"
        "resolver #1\n  nameserver[0] : 192.168.1.1\n  if_index : 4 (en0)"
    )
    return 0


def networksetup(words: list[str]) -> int:
    match words:
        case ["-listallnetworkservices"]:
            print("An asterisk (*) denotes that a network service is disabled.")
            print("\n".join(STATE["services"]).replace("Thunderbolt", "*Thunderbolt"))
        case ["-getdnsservers", service]:
            servers = STATE["services"][service]
            print("\n".join(servers) or f"There aren't any DNS Servers set on {service}.")
        case ["-setdnsservers", service, *servers]:
            assert service in STATE["services"] and servers
            STATE["services"][service] = [] if servers == ["Empty"] else servers
    return 0


def pfctl(words: list[str]) -> int:
    pf = STATE["pf"]
    match words:
        case ["-n", "-a", _, "-f", file]:
            return 0 if read(file).endswith("block return out quick all\n") else 1
        case ["-a", anchor, "-f", file]:
            pf["rules"][anchor] = read(file)
        case ["-a", anchor, "-s", "rules"]:
            print(pf["rules"].get(anchor, ""))
        case ["-a", anchor, "-F", "rules"]:
            pf["rules"].pop(anchor, None)
        case ["-s", "References"]:
            print("TOKENS:\nPID      Process Name                 TOKEN                    TIMESTAMP")
            print("\n".join(f"512      pfctl    {token}    0 days 00:00:03" for token in pf["tokens"]))
        case ["-E"]:
            pf["given"] += 1
            token = str(7000 + pf["given"])
            pf["tokens"].append(token)
            print(f"No ALTQ support in kernel\nALTQ related functions disabled\npf enabled\nToken : {token}")
        case ["-X", token]:
            pf["tokens"].remove(token)
        case ["-F", "states"]:
            pass
        case _:
            return 1
    return 0


def launchctl(words: list[str]) -> int:
    jobs = STATE["jobs"]
    match words:
        case ["bootstrap", "system", path]:
            jobs.append(f"system/{os.path.basename(path)}".removesuffix(".plist"))
        case ["bootout", job] if job in jobs:
            jobs.remove(job)
        case ["print", job] if job in jobs:
            pass
        case _:
            return 1
    return 0


def ping(words: list[str]) -> int:
    return 0 if int(words[words.index("-s") + 1]) + 28 <= STATE["path"] else 1


def say(text: str) -> int:
    print(text)
    return 0


def sleep(words: list[str]) -> int:
    STATE["clock"] += int(words[0])
    return 0


PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "zerotier-cli": zerotier_cli,
    "route": route,
    "curl": curl,
    "dscacheutil": dscacheutil,
    "scutil": scutil,
    "networksetup": networksetup,
    "pfctl": pfctl,
    "launchctl": launchctl,
    "ping": ping,
    "sleep": sleep,
    "uname": lambda _: say(STATE["uname"]),
    "id": lambda _: say(str(STATE["uid"])),
    "date": lambda _: say(str(STATE["clock"])),
    "ifconfig": lambda _: say(f"{DEVICE}: flags=8843<UP> metric 5000 mtu {RECORDED['ok']['mtu']}"),
    "killall": lambda _: 0,
}


def main(name: str, words: list[str]) -> int:
    with open(f"{HOME}/calls", "a") as calls:
        print(name, *words, file=calls)
    status = PROGRAMS[name](words)
    changes = bool(CHANGES & set(words)) and "-n" not in words
    STATE["left"] -= changes
    with open(f"{HOME}/state.{os.getpid()}", "w") as file:
        json.dump(STATE, file)
    os.rename(f"{HOME}/state.{os.getpid()}", f"{HOME}/state.json")
    if changes and STATE["left"] == 0:
        sys.stdout.flush()
        os.killpg(os.getpgrp(), 9)
    return status


def begin() -> None:
    """What a program's file calls."""
    sys.exit(main(os.path.basename(sys.argv[0]), sys.argv[1:]))
