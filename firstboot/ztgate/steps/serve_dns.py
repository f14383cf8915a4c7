"""Step: members have a resolver on this gateway's addresses, which knows their names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Network
from typing import Any

from .. import derive, names, resolver, store
from ..actions import Action, Command, Remove, WriteFile
from ..config import Config
from ..errors import ZtgateError, reading
from ..facts.neighbours import answered
from ..machine import Machine
from ..paths import Paths
from ..state import State
from ..zerotier import Network

UNIT = "ztgate-dns.service"
Texts = tuple[bytes | None, bytes | None]  # the settings, and members' names


def plan(wanted: tuple[bytes, bytes], present: Texts, active: bool, paths: Paths) -> list[Action]:
    """Other settings need a new start; other names are read again, and what was looked up is kept."""
    actions: list[Action] = []
    for path, now, before in zip((paths.resolver_conf, paths.resolver_names), wanted, present, strict=True):
        if now != before:
            actions.append(WriteFile(path, now, "the resolver for members"))
    if not active or wanted[0] != present[0]:
        actions.append(Command(("systemctl", "restart", UNIT), "the resolver for members"))
    elif actions:
        actions.append(Command(("systemctl", "reload", UNIT), "members' names have changed"))
    return actions


def plan_stop(present: Texts, paths: Paths) -> list[Action]:
    """Nobody is to be answered."""
    if present[0] is None:
        return []
    stop = Command(("systemctl", "stop", UNIT), "no resolver for members")
    return [stop, Remove(paths.resolver_conf, "no resolver for members")]


def servers(network: str, node: str, state: State) -> tuple[str, ...]:
    """The gateway's addresses that members ask; the second one is there as soon as they have IPv6."""
    ipv6 = state.subnet or state.registered.get("nat66")
    return (state.address, *([str(derive.rfc4193(network, node))] if ipv6 else []))


def run(
    machine: Machine, config: Config, network: Network, node: str, subnet: IPv6Network | None, state: State
) -> tuple[str, ...]:
    """Where members find it: () without one. A gateway that has none works all the same, and says so."""
    if config.dns is None:
        stop(machine)
        return ()
    settings, paths = config.dns, machine.paths
    listen = servers(network.id, node, state)
    forward = settings.forward
    if settings.upstream == "wan":
        forward = resolver.uplink_resolvers(store.read_text(paths.uplink_resolvers) or "")
        if not forward:
            machine.warn("dns.upstream: the WAN gave no resolvers, so the root servers are asked")
    ranges = (*network.lan4, derive.rfc4193_range(network.id), *([subnet] if subnet else []))
    learnt = _learn(machine, network, node)
    found = names.hosts(network, node, config.gateway.name, names.recalled(machine), learnt, subnet)
    domain = names.domain(settings)
    wanted = (
        resolver.settings(paths, listen, map(str, ranges), forward, settings.anchors).encode(),
        resolver.names(names.records(found, domain), domain).encode(),
    )
    try:
        present, active = _present(paths), _active(machine)
        ended = wanted == present and not active
        machine.mend("resolver" if ended else "", plan(wanted, present, active, paths))
    except ZtgateError as error:
        machine.warn(f"members have no resolver: {error.message}; journalctl -u {UNIT}")
        return ()
    return listen


def stop(machine: Machine) -> None:
    """End it, if there is one."""
    machine.do(plan_stop(_present(machine.paths), machine.paths))


def _present(paths: Paths) -> Texts:
    return store.read_bytes(paths.resolver_conf), store.read_bytes(paths.resolver_names)


def _active(machine: Machine) -> bool:
    return machine.probe(("systemctl", "is-active", "--quiet", UNIT))[0] == 0


def _learn(machine: Machine, network: Network, node: str) -> dict[str, str]:
    """Node ids by IPv4 address, of members heard since the boot: their MAC addresses say who they are."""
    path = machine.paths.learnt
    before = {str(text): str(other) for text, other in store.read_json(path).items()}
    argv = ("ip", "-4", "-j", "neigh", "show", "dev", network.interface)
    output = machine.run(argv) or "[]"
    with reading("what `ip neigh` says"):
        seen = tuple(_neighbours(json.loads(output), network, node))
    after = names.learn(before, seen, network.lan4)
    if after != before and not machine.dry_run:
        store.write(path, json.dumps(after).encode())
    return after


def _neighbours(rows: list[dict[str, Any]], network: Network, node: str) -> Iterator[tuple[str, IPv4Address]]:
    """(node, address) of neighbours that answered, from `ip -4 -j neigh`."""
    for row in answered(rows) if network.mac else ():
        yield derive.node_of(str(row["lladdr"]), network.mac, node), IPv4Address(row["dst"])
