"""Wireless adapters: which there are, what they do, and what Raspberry Pi Imager's wizard said of Wi-Fi."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from .. import store
from ..config import Wifi
from ..paths import Paths
from ..secret import Secret

LONGEST_SSID = 32  # bytes (IEEE 802.11, 9.4.2.2)
# As wifi.password and wifi.country in gateway.schema.json; of the wizard, the country may be missing.
PASSWORD = re.compile(r"[ -~]{8,63}|[0-9A-Fa-f]{64}")
COUNTRY = re.compile(r"([A-Za-z]{2})?")
Probe = Callable[..., tuple[int, str]]


def adapters(paths: Paths) -> tuple[str, ...]:
    """Names of the wireless interfaces that are there now."""
    return tuple(sorted(path.parent.name for path in paths.interfaces.glob("*/phy80211")))


def states(probe: Probe, paths: Paths) -> dict[str, str]:
    """What each wireless interface is doing, in words, by its name."""
    found = {}
    for name in adapters(paths):
        if not store.read_bytes(paths.wifi(name)):
            found[name] = "no Wi-Fi is configured (see wifi: in gateway.yaml)"
            continue
        # -s: where the answer goes, which by itself is a place in /tmp, and each service has its own.
        ask = ("wpa_cli", "-p", str(paths.wifi_control), "-s", str(paths.run_dir), "-i", name)
        found[name] = state(probe((*ask, "status"))[1], probe((*ask, "list_networks"))[1])
    return found


def state(status: str, networks: str) -> str:
    """The words for what wpa_cli says: `status` has key=value lines, `list_networks` a table with tabs."""
    values = dict(line.split("=", 1) for line in status.splitlines() if "=" in line)
    rows = [line.split("\t") for line in networks.splitlines() if line[:1].isdigit()]
    known = " or ".join(row[1] for row in rows) or "the network"
    refused = [row[1] for row in rows if "TEMP-DISABLED" in row[-1]]
    doing = values.get("wpa_state", "")
    if doing == "COMPLETED":
        return f"connected to {values.get('ssid', known)}"
    if refused:
        return f"{refused[0]} refuses us: is wifi.password right?"
    if doing in ("SCANNING", "DISCONNECTED", "INACTIVE"):
        return f"{known} is not to be heard here: is wifi.ssid right, is the access point near?"
    if doing == "INTERFACE_DISABLED":
        return "the adapter is switched off (rfkill list)"
    return f"connecting to {known}" if doing else "wpa_supplicant is not running yet"


def of_wizard(paths: Paths) -> tuple[Wifi, ...]:
    """The wireless networks in network-config on the FAT partition, which is in netplan's format.

    cloud-init, which reads the rest of that file, leaves wireless networks to netplan, and that is not here.
    """
    try:
        data = yaml.safe_load((store.read_bytes(paths.network_config) or b"").decode("utf-8", "replace"))
    except yaml.YAMLError:
        return ()
    interfaces = _mapping(_mapping(data).get("network", data), "wifis")
    found = (
        _network(str(ssid), _mapping(settings), str(_mapping(interface).get("regulatory-domain", "")))
        for interface in interfaces.values()
        for ssid, settings in _mapping(interface, "access-points").items()
    )
    return tuple(network for network in found if _can_be(network))


def _can_be(network: Wifi) -> bool:
    """Anybody may have written that file: what no wizard writes is none of wpa_supplicant's business."""
    password = network.password.reveal() if network.password else None
    return (
        0 < len(network.ssid) <= LONGEST_SSID
        and (password is None or PASSWORD.fullmatch(password) is not None)
        and COUNTRY.fullmatch(network.country) is not None
    )


def _mapping(data: Any, key: str = "") -> dict[Any, Any]:
    found = data.get(key) if key and isinstance(data, dict) else data
    return found if isinstance(found, dict) else {}


def _network(ssid: str, settings: dict[Any, Any], country: str) -> Wifi:
    password = settings.get("password") or _mapping(settings, "auth").get("password")
    secret = Secret(str(password)) if password else None
    return Wifi(_octets(ssid), secret, country, bool(settings.get("hidden")))


def _octets(ssid: str) -> bytes:
    """Imager writes a byte outside ASCII as \\xHH, which YAML reads as a character of that number."""
    try:
        ssid = ssid.encode("utf-8", "replace").decode()  # a lone surrogate is no character
        as_bytes = ssid.encode("latin-1")
        as_bytes.decode("utf-8")
        return as_bytes
    except UnicodeError:
        return ssid.encode()
