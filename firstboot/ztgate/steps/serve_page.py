"""Step: the gateway's page is served to members, on its ZeroTier addresses and interface, if it is wanted.

systemd listens and starts the server when somebody comes, so nothing of it runs otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from .. import derive, store
from ..actions import Action, Command, Remove, write_if_changed
from ..config import Config
from ..machine import Machine
from ..paths import Paths
from ..zerotier import Network

SOCKET, SERVICE = "ztgate-page.socket", "ztgate-page.service"
PORT = 80
_DROP_IN = """\
# Written by ztgate. Made for {zt} as interface number {index}: a new one needs a new start.
[Socket]
BindToDevice={zt}
{listen}
"""


@dataclass(frozen=True)
class Now:
    """What there is: the drop-in's text, and whether the socket listens."""

    drop_in: str
    active: bool


def drop_in(zt: str, index: str, addresses: Sequence[IPv4Address | IPv6Address]) -> str:
    """Where the socket listens."""
    listen = (
        f"ListenStream={a}:{PORT}" if a.version == 4 else f"ListenStream=[{a}]:{PORT}" for a in addresses
    )
    return _DROP_IN.format(zt=zt, index=index, listen="\n".join(listen))


def plan(wanted: str, now: Now, paths: Paths) -> list[Action]:
    """A socket that listens elsewhere is moved."""
    actions: list[Action] = []
    moved = wanted != now.drop_in
    if moved:
        actions += write_if_changed(
            paths.page_socket, wanted.encode(), now.drop_in.encode(), "where the page is served"
        )
    if moved and now.drop_in:
        # At first systemd has not read this unit, and a reload takes a small machine a second.
        actions.append(Command(("systemctl", "daemon-reload"), "where the page is served"))
    if moved and now.active:
        actions.append(
            Command(("systemctl", "stop", SOCKET, SERVICE), "it listens where the page was served")
        )
    if moved or not now.active:
        # Not waited for: where the interface vanishes just now, systemd waits for it for a minute and a half.
        actions.append(Command(("systemctl", "--no-block", "start", SOCKET), "serve the page"))
    return actions


def plan_stop(now: Now, paths: Paths) -> list[Action]:
    """The page is not wanted."""
    if not now.drop_in:
        return []
    return [
        Command(("systemctl", "stop", SOCKET, SERVICE), "no page is wanted"),
        Remove(paths.page_socket, "no page is wanted"),
    ]


def run(machine: Machine, config: Config, network: Network, node: str) -> None:
    """Bring the socket in line."""
    now = _read(machine)
    if not config.page:
        machine.do(plan_stop(now, machine.paths))
        return
    own = derive.rfc4193(network.id, node)
    addresses: list[IPv4Address | IPv6Address] = [address.ip for address in network.addresses4]
    addresses += [address.ip for address in network.addresses6 if address.ip == own]
    index = (store.read_text(machine.paths.interfaces / network.interface / "ifindex") or "?").strip()
    wanted = drop_in(network.interface, index, addresses)
    machine.do(plan(wanted, now, machine.paths))


def stop(machine: Machine) -> None:
    """Serve it no longer."""
    machine.do(plan_stop(_read(machine), machine.paths))


def _read(machine: Machine) -> Now:
    text = store.read_text(machine.paths.page_socket) or ""
    active = bool(text) and machine.probe(("systemctl", "is-active", "--quiet", SOCKET))[0] == 0
    return Now(text, active)
