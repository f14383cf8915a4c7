"""What is looked at for the page. What does not answer is left out: half the facts are better than none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Network
from typing import Any, TypeVar

from .. import configfile, firewall, members_subnet, report, state, store
from ..errors import ZtgateError
from ..machine import Machine
from ..members import neighbours, sights
from ..names import recalled
from ..page.facts import Facts, Member
from ..page.view import status_of
from ..zerotier import Network
from . import members

T = TypeVar("T")


def facts(machine: Machine, now: float) -> Facts:
    """All of it, but for the rates, which take two looks."""
    found = _try(lambda: configfile.find(machine.paths), None)
    if found is None:
        return Facts(at=now, last_run=last_run(machine), status=status_of(report.read(machine)))
    config, current = found.config, state.load(machine.paths)
    status: dict[str, Any] = _try(machine.service.status, {})
    network = _try(lambda: machine.service.network(config.network), None)
    node = str(status.get("address", ""))
    subnet = IPv6Network(current.subnet) if current.subnet else None
    shown = status_of(report.read(machine))
    wan = shown.get("wan") or {}
    rules = firewall.listed(machine.probe)
    return Facts(
        at=now,
        name=config.gateway.name,
        network=config.network,
        page=page_of(current.address),
        hosts=hosts(config.gateway.name, node, str(shown.get("domain", ""))),
        last_run=last_run(machine),
        status=shown,
        public4=public_ipv4(status, str(config.ipv4.source or ""), str(wan.get("address", ""))),
        public6=next(iter(wan.get("addresses6", ())), "") if current.way == members_subnet.NAT66 else "",
        interfaces=_interfaces(machine, {
            "members": network.interface if network else "", "wan": str(wan.get("interface", "")),
        }),
        members=_members(machine, network, node, subnet, rules, now) if network and node else (),
        refused=firewall.refused(rules),
    )  # fmt: skip


def page_of(address: str) -> str:
    """The page's URL; "" as long as the gateway has no address."""
    return f"http://{address}/" if address else ""


def hosts(name: str, node: str, domain: str) -> tuple[str, ...]:
    """What this gateway is called in the members' domain; nothing where they have none."""
    return tuple(f"{own.lower()}.{domain}" for own in (name, node)) if domain else ()


def names(machine: Machine) -> dict[str, str]:
    """Members' names by node id, as the controller had them when it was asked last."""
    return {node: row[0] for node, row in recalled(machine).items() if row}


def public_ipv4(status: Mapping[str, Any], source: str, wan: str) -> str:
    """Whom the internet sees: the address of snat, else what ZeroTier's roots see, else the WAN's if public.

    Behind a home router the WAN has an address of its own; nobody else is asked.
    """
    settings = status.get("config", {}).get("settings", {})
    surface = [str(each).rpartition("/")[0] for each in settings.get("surfaceAddresses", ())]
    seen = [address for address in surface if ":" not in address and address]
    if source and IPv4Address(source).is_global:
        return source
    if wan in seen or not seen:
        return wan if wan in seen or (wan and IPv4Address(wan).is_global) else ""
    return max(sorted(set(seen)), key=seen.count)


def last_run(machine: Machine) -> float:
    """When `ztgate apply` last said how it stands, in seconds since 1970."""
    return float(store.read_text(machine.paths.last_run) or 0)


def zerotier_metrics(machine: Machine) -> str:
    """ZeroTier's own, as Prometheus has them."""
    return _try(machine.service.metrics, "")


def _members(
    machine: Machine, network: Network, node: str, subnet: IPv6Network | None, rules: members.Rows, now: float
) -> tuple[Member, ...]:
    counted = members.uses(rules, now)
    peers: members.Rows = _try(machine.service.peer_rows, [])
    near = neighbours(machine, network)
    return members.merge(
        network, node, sights(peers, near, network.mac, node, now), counted, names(machine), subnet
    )


def _interfaces(machine: Machine, named: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Bytes in and out of those that are there."""
    found = {}
    for key, interface in named.items():
        folder = machine.paths.interfaces / interface / "statistics"
        texts = [store.read_text(folder / name) for name in ("rx_bytes", "tx_bytes")]
        if interface and all(texts):
            found[key] = (int(texts[0] or 0), int(texts[1] or 0))
    return found


def _try(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except ZtgateError:
        return otherwise
