"""What a pretended Mac is like before a test changes it (see fake_mac.py)."""

import json
from pathlib import Path
from typing import Any

OURS: str = json.loads((Path(__file__).parent / "recordings.json").read_text())["ok"]["id"]
OTHER = "8056c2e21c000001"
KEYS = ("allowManaged", "allowGlobal", "allowDefault", "allowDNS")


def networks(name: str) -> dict[str, Any]:
    """One network that was joined before, with the default route taken from it and no global addresses."""
    allow = {"allowManaged": True, "allowGlobal": False, "allowDefault": name == OTHER, "allowDNS": False}
    return {name: {"allow": allow, "looks": 0}}


def fresh() -> dict[str, Any]:
    """A Mac on a line with both families, with ZeroTier, and a network that lets it in after a while."""
    return {
        "uname": "Darwin",
        "uid": 0,
        "clock": 1000,
        "down": False,
        "networks": {},
        "keys": KEYS,
        "phases": ["requesting", "denied", "denied", "ok"],
        "stubborn": False,  # global routes are taken only when they are allowed again
        "toggled": False,
        "line6": True,
        "gateway6": True,
        "dns": True,
        "path": 1500,
        "answer": "ADDRESS",
        "services": {
            "Wi-Fi": [],
            "USB 10/100/1000 LAN": ["192.168.1.1", "9.9.9.9"],
            "Thunderbolt Bridge": [],
        },
        "pf": {"rules": {}, "tokens": [], "given": 0},
        "jobs": [],
        "left": 0,  # changes until the script is killed
    }
