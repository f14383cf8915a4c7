"""Step: each wireless adapter is a member of the configured network.

The unit ztgate-wifi@.service runs wpa_supplicant. udev starts it as soon as there is an adapter, and the
unit asks `ztgate wifi` for its configuration; what is changed later, `ztgate apply` sees.
"""

from __future__ import annotations

import re

from .. import store
from ..actions import Action, Command, WriteFile
from ..config import Wifi
from ..facts import wifi as facts
from ..machine import Machine
from ..paths import Paths

KEY = re.compile(r"[0-9A-Fa-f]{64}")


def render(networks: tuple[Wifi, ...], paths: Paths) -> str:
    """wpa_supplicant's configuration; "" without a network.

    A name is written in hexadecimal, so that no character of it can mean anything. With a passphrase, WPA3
    (SAE) is allowed beside WPA2; with a key it cannot be.
    """
    if not networks:
        return ""
    lines = ["# By ztgate.", f"ctrl_interface={paths.wifi_control}"]
    lines += [f"country={network.country}" for network in networks[:1] if network.country]
    for network in networks:
        lines += ["network={", f"\tssid={network.ssid.hex()}", f"\tscan_ssid={int(network.hidden)}"]
        password = network.password.reveal() if network.password else ""
        if not password:
            lines.append("\tkey_mgmt=NONE")
        elif KEY.fullmatch(password):
            lines += ["\tkey_mgmt=WPA-PSK", f"\tpsk={password}"]
        else:
            lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", "\tieee80211w=1"]
            lines.append(f'\tpsk="{password}"')
        lines.append("}")
    return "\n".join(lines) + "\n"


def plan(name: str, text: str, current: str, paths: Paths) -> list[Action]:
    """Bring an adapter in line; `text` is "" when it is to be in no network."""
    if text == current:
        return []
    verb = "restart" if text else "stop"
    return [
        WriteFile(paths.wifi(name), text.encode(), f"Wi-Fi on {name}", 0o600),
        Command(("systemctl", "--no-block", verb, f"ztgate-wifi@{name}.service"), f"Wi-Fi on {name}"),
    ]


def wanted(wifi: Wifi | None, paths: Paths) -> str:
    """What gateway.yaml says; without a word there, what Imager's wizard said."""
    return render((wifi,) if wifi else facts.of_wizard(paths), paths)


def run(machine: Machine, wifi: Wifi | None) -> None:
    """Every adapter; a warning if there is none for a configured network."""
    paths, found = machine.paths, facts.adapters(machine.paths)
    text = wanted(wifi, paths)
    for name in found:
        machine.do(plan(name, text, store.read_text(paths.wifi(name)) or "", paths))
    if wifi and not found:
        machine.warn("wifi is configured in gateway.yaml, but there is no wireless adapter")
