"""Step: packets with members' sources reach the internet and come back, before anybody is sent here."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from ..errors import WaitingError
from ..machine import Machine
from ..wait import until

# Public resolvers (Quad9, Cloudflare), asked when the controller's host does not answer pings.
TARGETS = {4: ("9.9.9.9", "1.1.1.1"), 6: ("2620:fe::fe", "2606:4700:4700::1111")}
PATIENCE = 20.0  # seconds; a fresh IPv6 address is not usable at once


def targets(version: int, controller: list[str]) -> list[str]:
    """Whom to ping: the controller's host first."""
    return [*controller[:1], *TARGETS[version]]


def run(machine: Machine, version: int, source: Callable[[], str], url: str) -> str:
    """The first host that answered; WaitingError when none did or when source() has no address yet."""
    hosts = targets(version, _resolve(url, version))

    def attempt() -> str:
        address = source()
        for host in hosts:
            argv = ("ping", f"-{version}", "-n", "-q", "-c", "1", "-W", "1", "-I", address, host)
            if machine.probe(argv)[0] == 0:
                return host
        raise WaitingError(f"no answer over IPv{version} from {', '.join(hosts)} to {address}")

    return until(attempt, seconds=PATIENCE, clock=machine.clock, say=lambda _: None)


def _resolve(url: str, version: int) -> list[str]:
    host = urlsplit(url).hostname or ""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = [str(row[4][0]) for row in found]
    return [a for a in dict.fromkeys(addresses) if not a.startswith("127.") and a != "::1"]
