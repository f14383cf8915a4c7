"""From the cable to names: link, address, router, clock, DNS."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from ..facts import time
from ..facts.wan import cards, default_interface, has_carrier
from .patient import Patient, Rows
from .probes import ping
from .verdict import Result


def link(patient: Patient) -> Result:
    """A cable is plugged in, or a wireless network is joined."""
    remembered = str(patient.state.situation.get("wan", ""))
    return judge_link(patient.links(), patient.routes4(), remembered, patient.wifi())


def judge_link(links: Rows, routes4: Rows, remembered: str, wifi: Mapping[str, str]) -> Result:
    """The way out is the default route's interface, else the one that it was, else any."""
    name = default_interface(routes4) or remembered
    candidates = [row for row in links if row.get("ifname") == name]
    candidates += [row for row in cards(links) if row not in candidates]
    if not candidates:
        return False, "no network card found", "has the kernel a driver for it? dmesg; ls /sys/class/net"
    for row in candidates:
        if has_carrier(row):
            return True, f"{row['ifname']} has a link", ""
    first = candidates[0]
    name = str(first["ifname"])
    if name in wifi:
        return False, f"{name}: {wifi[name]}", "look at wifi: in gateway.yaml"
    if "UP" not in first.get("flags", []):
        return False, f"{name} is switched off", f"ip link set {name} up"
    return False, f"no link on {name}", "is the cable plugged in, at both ends? is the other end switched on?"


def address(patient: Patient) -> Result:
    """An IPv4 address and a default route."""
    seen = patient.wan()
    return True, f"{seen.interface} has {seen.address}/{seen.network.prefixlen} and a default route", ""


def router(patient: Patient) -> Result:
    """The router on the WAN is there."""
    interface = patient.wan().interface
    defaults = [
        row for row in patient.routes4() if row.get("dst") == "default" and row.get("dev") == interface
    ]
    best = min(defaults, key=lambda row: int(row.get("metric", 0)), default={})
    via = str(best.get("gateway", ""))
    if not via:
        return True, f"{interface} leads out without a router", ""
    answered = ping(patient.probe, via)
    return judge_router(via, interface, answered, patient.rows("neigh", "show", via))


def judge_router(via: str, interface: str, answered: bool, entries: Rows) -> Result:
    """Some routers answer no pings, but all have to say which MAC address they have."""
    if answered:
        return True, f"{via} answers", ""
    resolved = any(row.get("lladdr") and "FAILED" not in row.get("state", []) for row in entries)
    if entries and not resolved:
        return False, f"nobody on {interface} has the router's address {via}", f"networkctl renew {interface}"
    return True, f"{via} is there, but answers no pings (some never do)", ""


def clock(patient: Patient) -> Result:
    """The clock is right enough for TLS."""
    usable, reason = time.read(patient.machine.paths).verdict
    return usable, reason, "timedatectl timesync-status; systemctl status systemd-timesyncd"


def dns(patient: Patient) -> Result:
    """The controller's name is known."""
    host = urlsplit(patient.config.controller.url).hostname or ""
    if not host:
        return True, "no name is needed", ""
    # In a process of its own: a resolver that waits cannot be interrupted.
    status, output = patient.probe("getent", "ahosts", host)
    found = output.split()
    if status != 0 or not found:
        return False, f"{host} cannot be resolved", f"resolvectl status; resolvectl query {host}"
    return True, f"{host} is {found[0]}", ""
