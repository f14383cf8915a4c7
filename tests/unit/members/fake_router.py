"""An OpenWrt router as far as openwrt.sh looks at it: one program under the names of those it calls.

uci's files are JSON below $FAKE_ROUTER/config. What zerotier-cli says is from recordings of the real one.
"""
# ruff: noqa: PTH104, PTH119, PTH120, PTH123

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOME = os.environ["FAKE_ROUTER"]


def load(path: str) -> Any:
    with open(path) as file:
        return json.load(file)


def save(path: str, what: Any) -> None:
    # Programs on the two ends of a pipe run at the same time.
    with open(f"{path}.{os.getpid()}", "w") as file:
        json.dump(what, file, indent=1)
    os.rename(f"{path}.{os.getpid()}", path)


RECORDED = load(f"{os.path.dirname(__file__)}/recordings.json")
STATE = load(f"{HOME}/state.json")


def package(name: str) -> dict[str, Any]:
    found: dict[str, Any] = load(f"{HOME}/config/{name}")
    return found


def uci_set(key: str, value: str) -> None:
    name, section, *option = key.split(".")
    held = package(name)
    held.setdefault(section, {})[option[0] if option else ".type"] = value
    save(f"{HOME}/config/{name}", held)


def uci_list(verb: str, key: str, value: str) -> int:
    name, section, option = key.split(".")
    held = package(name)
    values = held[section].get(option, [])
    values = [*values, value] if verb == "add_list" else [one for one in values if one != value]
    held[section][option] = values
    if not values:
        del held[section][option]
    save(f"{HOME}/config/{name}", held)
    return 0


def uci_get(key: str) -> int:
    name, section, *option = key.split(".")
    found = package(name).get(section, {}).get(option[0] if option else ".type")
    if found is not None:
        print(found)
    return 0 if found is not None else 1


def uci_delete(key: str) -> int:
    name, section, *option = key.split(".")
    held = package(name)
    gone = held.get(section, {}).pop(option[0], None) if option else held.pop(section, None)
    save(f"{HOME}/config/{name}", held)
    return 0 if gone is not None else 1


def uci_show(name: str) -> int:
    for section, options in package(name).items():
        print(f"{name}.{section}={options['.type']}")
        for option, value in options.items():
            if option != ".type":
                print(f"{name}.{section}.{option}='{value}'")
    return 0


def uci(words: list[str]) -> int:
    match [word for word in words if word != "-q"]:
        case ["batch"]:
            for line in sys.stdin:
                uci(line.split())
        case ["set", setting]:
            uci_set(*setting.split("=", 1))
        case ["get", key]:
            return uci_get(key)
        case ["delete", key]:
            return uci_delete(key)
        case ["show", name]:
            return uci_show(name)
        case ["add_list" | "del_list" as verb, setting]:
            return uci_list(verb, *setting.split("=", 1))
        case ["commit", _]:
            pass
        case _:
            return 255
    return 0


def network() -> dict[str, Any]:
    phases = STATE["phases"]
    found: dict[str, Any] = RECORDED[phases[min(STATE["looks"], len(phases) - 1)]]
    return found


def joined() -> bool:
    return bool(STATE["running"].get("ztgate"))


def zerotier_cli(words: list[str]) -> int:
    match words:
        case ["info"]:
            print(f"200 info {RECORDED['info']['address']} 1.14.1 ONLINE")
        case ["-j", "listnetworks"]:
            print(json.dumps([network()] if joined() else [], indent=1))
        case ["get", _, "ip4" | "ip6" as kind] if joined():
            own = network()["assignedAddresses"]
            print("\n".join(one.split("/")[0] for one in own if (":" in one) == (kind == "ip6")))
        case ["get", _, name] if joined():
            print(network()[name])
            STATE["looks"] += name == "status"
        case ["get", *_]:
            print("unknown network ID, check that you are a member of the network", file=sys.stderr)
    return 0


def jsonfilter(words: list[str]) -> int:
    for found in json.load(sys.stdin):
        if "routes" in words[-1]:
            print("\n".join(route["target"] for route in found["routes"]))
        else:
            print("\n".join(found["dns"]["servers"]))
    return 0


def init(name: str, words: list[str]) -> int:
    if name == "zerotier" and words == ["restart"]:
        held = package("zerotier")
        on = held["global"].get("enabled") == "1"
        STATE["running"] = {key: one for key, one in held.items() if on and one[".type"] == "network"}
    return 0


def ip(words: list[str]) -> int:
    if words[0] == "-6":
        return 2
    through = joined() and network()["status"] == "OK"
    print(f"{words[-1]} dev {network()['portDeviceName'] if through else 'wan'} src 10.66.0.107 uid 0")
    return 0


def answer(text: str) -> int:
    print(text)
    return 0


def run(name: str, words: list[str]) -> int:
    match name:
        case "zerotier" | "network" | "firewall" | "dnsmasq":
            return init(name, words)
        case "uclient-fetch":
            return answer("fl=4f\nip=203.0.113.7") if "1.1.1.1" in words[-1] else 8
        case "nslookup":
            return answer(f"Server: 127.0.0.1\n\nName: {words[0]}\nAddress: 203.0.113.7")
        case "id":
            return answer("0")
        case "date":
            return answer(str(STATE["clock"]))
        case "sleep":
            STATE["clock"] += int(words[0])
            return 0
    return {"uci": uci, "zerotier-cli": zerotier_cli, "jsonfilter": jsonfilter, "ip": ip}[name](words)


def begin() -> None:
    """What a program's file calls."""
    before = json.dumps(STATE)
    status = run(os.path.basename(sys.argv[0]), sys.argv[1:])
    if json.dumps(STATE) != before:
        save(f"{HOME}/state.json", STATE)
    sys.exit(status)
