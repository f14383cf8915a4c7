"""The steps in their order: what a gateway becomes, read from top to bottom.

Every step reads facts again, so a run that ends early is simply done again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Network
from typing import Any

from . import derive, firewall, members_subnet, register, standing, state, store
from .config import Config
from .configfile import Found
from .controllers.open import open_controller
from .errors import WaitingError, ZtgateError
from .facts.wan import Wan
from .machine import Machine
from .register import Target, Want
from .state import State
from .steps import (
    check_clock,
    drop_token,
    join_network,
    load_firewall,
    prove,
    proxy_ndp,
    publish,
    register_gateway,
    ssh_keys,
    start_zerotier,
    still_registered,
    uplink,
    verify,
    wifi,
)

# Seconds that a first boot waits for a router advertisement once IPv4 is there.
IPV6_PATIENCE = 15.0


@dataclass(frozen=True)
class Outcome:
    """A gateway that is ready. subnet is "" when IPv6 is not announced, ipv6_reason says why."""

    source: str
    network: str
    node: str
    address: str
    subnet: str
    ipv6_reason: str
    wan: Wan
    routes: tuple[str, ...]
    token: str
    warnings: tuple[str, ...]


def reconcile(machine: Machine, found: Found, insist: bool = False) -> Outcome:
    """Make the machine the gateway that the configuration describes; insist on asking the controller."""
    config, paths = found.config, machine.paths
    machine.network_id = config.network
    machine.controller = None
    machine.warnings.clear()
    current = state.load(paths)
    situation = firewall.remembered(current.situation)

    ssh_keys.run(machine, config.ssh)
    load_firewall.run(machine, config, situation)
    wifi.run(machine, config.wifi)
    wan = uplink.run(machine)
    node, current = start_zerotier.run(machine, config.zerotier, current)
    _save(machine, current)
    wan, subnet, reason = _choose_subnet(machine, config, wan, current)
    join_network.leave(machine, config.network, str(current.registered.get("network", "")))
    current = _registered(machine, config, node, subnet, wan, current, insist)
    if subnet and str(subnet) != current.subnet:
        subnet, reason = None, f"{subnet} is not registered at the controller"
    network = join_network.run(machine, config.network, IPv4Address(current.address))
    verify.kernel(machine, network)

    ports = firewall.ports(machine.service.status())
    situation = situation.with_wan(wan).with_network(network, str(subnet or ""), ports)
    load_firewall.run(machine, config, situation)
    current = current.but(situation=asdict(situation))
    _save(machine, current)
    if subnet:
        proxy_ndp.run(machine, wan.interface6, network, subnet, node)

    works6, reason = _prove(machine, config, wan, subnet, reason, current)
    current = _published(machine, config, node, works6, current)
    current = _without_token(machine, config, current)
    _save(machine, current)
    announced = any(route.startswith("::/0") for route in current.routes)
    if reason and not announced and current.token != "kept" and config.ipv6.mode == "auto":
        reason += f"; to announce it later, run `{standing.REGISTER}`"
    return Outcome(
        source=str(found.path),
        network=config.network,
        node=node,
        address=current.address,
        subnet=str(subnet) if subnet and announced else "",
        ipv6_reason=reason,
        wan=wan,
        routes=current.routes,
        token=current.token,
        warnings=tuple(dict.fromkeys((*current.warnings, *machine.warnings))),
    )


def _save(machine: Machine, current: State) -> None:
    if not machine.dry_run:
        state.save(machine.paths, current)


def _choose_subnet(
    machine: Machine, config: Config, wan: Wan, current: State
) -> tuple[Wan, IPv6Network | None, str]:
    """Members' /80; at a first boot the router's advertisement gets a little time to arrive."""

    def look() -> tuple[Wan, IPv6Network]:
        again = uplink.run(machine)
        subnet, reason = members_subnet.choose(config.ipv6, again)
        if subnet is None:
            raise WaitingError(f"IPv6: {reason}")
        return again, subnet

    subnet, reason = members_subnet.choose(config.ipv6, wan)
    if subnet or config.ipv6.mode == "off":
        return wan, subnet, reason
    seconds = 0.0 if current.registered else IPV6_PATIENCE
    try:
        wan, subnet = machine.wait(look, seconds)
        return wan, subnet, ""
    except WaitingError:
        if config.ipv6.mode == "ndp-proxy":
            raise
        return wan, None, reason


def _registered(
    machine: Machine,
    config: Config,
    node: str,
    subnet: IPv6Network | None,
    wan: Wan,
    current: State,
    insist: bool,
) -> State:
    """Ask the controller only when it has not been told yet, or when that does not stand any more."""
    wanted = register_gateway.fingerprint(config, node, subnet)
    if current.registered and subnet is None and config.ipv6.mode == "auto":
        # IPv6 that is away for a while is no reason to take members' addresses from them.
        wanted["subnet"] = current.registered.get("subnet")
    known = all(current.registered.get(key) == wanted[key] for key in ("network", "node"))
    fallen = still_registered.run(machine, config, current) if known else ()
    if current.registered == wanted and not insist and not fallen:
        return current
    if known and not config.controller.token:
        _warn_of_changes(machine, current.registered, wanted)
        return current
    check_clock.run(machine)
    _open_controller(machine, config)
    want = Want(
        network=config.network,
        node=node,
        name=config.gateway.name,
        address=config.gateway.address,
        mtu=config.gateway.mtu,
        subnet=IPv6Network(wanted["subnet"]) if wanted["subnet"] else None,
        old_subnet=IPv6Network(current.subnet) if known and current.subnet else None,
    )
    before = current if known else State(written=current.written)
    current = register_gateway.run(machine, config, want, wan.network, before)
    current = current.but(routes=tuple(route for route in current.routes if route not in fallen))
    _save(machine, current)
    still_registered.note(machine, fallen)
    return current


def _warn_of_changes(machine: Machine, before: dict[str, Any], wanted: dict[str, Any]) -> None:
    keys = [key for key in wanted if wanted[key] != before.get(key)]
    changed = ", ".join(f"{key} ({before.get(key) or 'none'} to {wanted[key] or 'none'})" for key in keys)
    if changed:
        machine.warn(f"changed since the network was set up: {changed}; `{standing.REGISTER}` registers it")


def _published(machine: Machine, config: Config, node: str, works6: bool, current: State) -> State:
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
    _save(machine, current)
    return current


def _prove(
    machine: Machine, config: Config, wan: Wan, subnet: IPv6Network | None, reason: str, current: State
) -> tuple[bool, str]:
    """Whether IPv6 works, and why not; WaitingError while IPv4 does not.

    Once per boot and situation; IPv6 is tried again as long as there is a token to publish it with.
    """
    mark = machine.paths.run_dir / "proved"
    key = f"{wan} {current.address} {subnet}"
    proved = store.read_json(mark)
    unproved = str(proved.get("unproved", "")) if proved.get("key") == key else ""
    done = proved.get("key") == key and not (unproved and config.controller.token)
    if not machine.dry_run and not done:
        unproved = _ping(machine, config, subnet, current)
        store.write(mark, json.dumps({"key": key, "unproved": unproved}).encode())
    return subnet is not None and not unproved, reason or unproved


def _ping(machine: Machine, config: Config, subnet: IPv6Network | None, current: State) -> str:
    """Why IPv6 does not work, "" when it does or when there is none."""
    url = config.controller.url
    prove.run(machine, 4, lambda: current.address, url)
    if subnet is None:
        return ""
    try:
        prove.run(machine, 6, lambda: join_network.address_in(machine, config.network, subnet), url)
    except WaitingError as unproved:
        if config.ipv6.mode == "ndp-proxy":
            raise
        return unproved.message
    return ""


def _without_token(machine: Machine, config: Config, current: State) -> State:
    """What it was needed for has arrived, or there is a warning."""
    verify.announced(machine, config.network, current.routes)
    outcome = drop_token.run(machine, config.controller)
    if outcome == "absent" and current.token == "discarded":
        return current
    return current.but(token=outcome)


def _open_controller(machine: Machine, config: Config) -> None:
    if machine.controller is None:
        if not config.controller.token:
            raise ZtgateError(
                "no token for the controller",
                "add controller.token to gateway.yaml; ztgate tries again within two minutes",
            )
        machine.controller = open_controller(
            config.controller, machine.paths, machine.clock, machine.say_waiting
        )
