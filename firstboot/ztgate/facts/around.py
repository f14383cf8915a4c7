"""What this machine is connected to besides ZeroTier's network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from ..errors import reading

Networks = dict[IPv4Network | IPv6Network, str]


def read(run: Callable[[Sequence[str]], str], own: str) -> Networks:
    """Networks that are reached without the interface `own`, by the interface that leads there."""
    tables = [run(("ip", "-j", family, "route", "show")) for family in ("-4", "-6")]
    with reading("what `ip route` says"):
        return parse([row for text in tables for row in json.loads(text or "[]")], own)


def parse(rows: list[dict[str, Any]], own: str) -> Networks:
    """From rows of `ip -j route`."""
    found: Networks = {}
    for row in rows:
        text, interface = str(row.get("dst", "default")), str(row.get("dev", ""))
        if text == "default" or interface in (own, "lo") or row.get("type") in ("multicast", "unreachable"):
            continue
        net = ip_network(text, strict=False)
        # A VPN's halves of everything are a default route as well.
        if net.prefixlen > 1 and not net.is_link_local and not net.is_multicast:
            found[net] = interface
    return found
