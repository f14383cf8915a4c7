"""Prefixes that a router has delegated to this machine by DHCPv6, as networkd knows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import IPv6Network

GLOBAL = IPv6Network("2000::/3")
LONGEST = 64  # bits; members' /80 is taken from a /64


def read(probe: Callable[[Sequence[str]], tuple[int, str]], interface: str) -> tuple[IPv6Network, ...]:
    """The delegated prefixes of an interface; () when networkd knows of none or does not run."""
    status, output = probe(("networkctl", "--json=short", "status", interface))
    return parse(output) if status == 0 else ()


def parse(text: str) -> tuple[IPv6Network, ...]:
    """From networkctl's JSON (systemd 257, src/network/networkd-json.c): DHCPv6Client.Prefixes.

    There is also an unreachable route for each in the kernel, but not for a /64.
    """
    try:
        rows = json.loads(text)["DHCPv6Client"]["Prefixes"]
        found = [IPv6Network((bytes(row["Prefix"]), int(row["PrefixLength"])), strict=False) for row in rows]
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return ()
    return tuple(net for net in found if net.prefixlen <= LONGEST and net.subnet_of(GLOBAL))
