"""What the controller is told by its API: who the gateway is, and later that members are sent here."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import Any

from . import derive, members_subnet, register, standing
from .config import Config
from .controllers.open import open_controller, required_token
from .facts.wan import Wan
from .machine import Machine
from .members_subnet import Choice
from .register import Target, Want
from .state import State
from .steps import check_clock, publish, publish_dns, register_gateway, still_registered

THEIR_DNS = "the network's DNS setting is somebody else's"


def registered(
    machine: Machine, config: Config, node: str, ipv6: Choice, wan: Wan, current: State, insist: bool
) -> State:
    """Ask the controller only when it has not been told yet, or when that does not stand any more."""
    nat66 = ipv6.way == members_subnet.NAT66
    wanted = register_gateway.fingerprint(config, node, ipv6.subnet, nat66)
    if current.registered and ipv6.subnet is None and config.ipv6.mode == "auto":
        # IPv6 that is away for a while is no reason to take members' addresses from them.
        wanted["subnet"] = current.registered.get("subnet")
    known = all(current.registered.get(key) == wanted[key] for key in ("network", "node"))
    fallen = still_registered.run(machine, config, current) if known else ()
    if current.registered == wanted and not insist and not fallen:
        return current
    if known and not config.controller.token:
        _warn_of_changes(machine, current.registered, wanted)
        return current
    _open_controller(machine, config)
    want = Want(
        network=config.network,
        node=node,
        name=config.gateway.name,
        address=config.gateway.address,
        mtu=config.gateway.mtu,
        subnet=IPv6Network(wanted["subnet"]) if wanted["subnet"] else None,
        old_subnet=IPv6Network(current.subnet) if known and current.subnet else None,
        nat66=nat66,
    )
    before = current if known else State(written=current.written)
    current = register_gateway.run(machine, config, want, wan.network, before)
    current = current.but(routes=tuple(route for route in current.routes if route not in fallen))
    machine.remember(current)
    still_registered.note(machine, fallen)
    return current


def _warn_of_changes(machine: Machine, before: dict[str, Any], wanted: dict[str, Any]) -> None:
    keys = [key for key in wanted if wanted[key] != before.get(key)]
    changed = ", ".join(f"{key} ({before.get(key) or 'none'} to {wanted[key] or 'none'})" for key in keys)
    if changed:
        machine.warn(f"changed since the network was set up: {changed}; `{standing.REGISTER}` registers it")


def published(machine: Machine, config: Config, node: str, works6: bool, current: State) -> State:
    """Send members here: over IPv4, and over IPv6 if that was proved."""
    via6 = str(derive.rfc4193(config.network, node))
    vias: dict[Target, str] = {register.DEFAULT4: current.address}
    if works6:
        vias[register.DEFAULT6] = via6
    elif any(route.startswith("::/0") for route in current.routes):
        # Away for a while is kept; switched off is withdrawn.
        vias[register.DEFAULT6] = "" if config.ipv6.mode == "off" else via6
    routes = tuple(f"{target} via {via}" for target, via in vias.items() if via)
    if routes == current.routes:
        return current
    if current.routes and not config.controller.token:
        machine.warn(f"other default routes are due: `{standing.REGISTER}` publishes them")
        return current
    _open_controller(machine, config)
    publish.run(machine, vias)
    current = current.but(routes=routes)
    machine.remember(current)
    return current


def resolver(
    machine: Machine, config: Config, node: str, servers: tuple[str, ...], current: State, insist: bool
) -> State:
    """Point members at our resolver where there is a dns.domain, or take back that they are pointed here."""
    domain = config.dns.domain if config.dns else ""
    if domain and not servers:
        return current  # it does not run: what was said before stays
    wanted = " ".join((domain, *servers)) if domain else ""
    if wanted == current.dns and not (insist and wanted):
        return current
    if not config.controller.token:
        machine.warn(f"dns.domain: the controller has to be told: `{standing.REGISTER}` does it")
        return current
    _open_controller(machine, config)
    ours = [current.address, *current.dns.split(" ")[1:], str(derive.rfc4193(config.network, node))]
    kept = publish_dns.run(machine, domain, servers, ours, takeover=config.gateway.takeover)
    warnings = [text for text in current.warnings if not text.startswith(THEIR_DNS)]
    if kept:
        warnings.append(f"{THEIR_DNS}: {kept}; it stays, unless gateway.takeover is true")
    current = current.but(dns=wanted, warnings=tuple(warnings))
    machine.remember(current)
    return current


def _open_controller(machine: Machine, config: Config) -> None:
    if machine.controller is None:
        required_token(config.controller)  # without one, no clock has to be waited for
        check_clock.run(machine)
        machine.controller = open_controller(config.controller, machine.paths, machine.calls)
