"""The steps in their order: what a gateway becomes, read from top to bottom.

Every step reads facts again, so a run that ends early is simply done again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address, IPv6Network
from typing import Any

from . import by_hand, derive, firewall, members_subnet, register, standing, state, store
from .config import Config
from .configfile import Found
from .controllers.open import open_controller
from .errors import WaitingError, ZtgateError
from .facts.ipv6_probe import ON_LINK
from .facts.wan import Wan
from .machine import Machine
from .members_subnet import Choice
from .register import Target, Want
from .state import State
from .steps import (
    ask_people,
    check_clock,
    drop_token,
    join_network,
    load_firewall,
    probe_ipv6,
    prove,
    proxy_ndp,
    publish,
    register_gateway,
    ssh_keys,
    start_zerotier,
    still_registered,
    take_identity,
    uplink,
    verify,
    wifi,
)

IPV6_PATIENCE = 15.0  # seconds for a router advertisement, or a delegated prefix, once IPv4 is there
STARTING = 90.0  # seconds after power-on in which they may still be on their way


@dataclass(frozen=True)
class Outcome:
    """A gateway that is ready. subnet is "" when IPv6 is not announced, ipv6_reason says why.

    ipv6: how members' IPv6 leaves; ipv6_found: what was found of it, in words.
    """

    source: str
    network: str
    node: str
    address: str
    ipv6: str
    ipv6_found: str
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
    take_identity.run(machine)
    node, current = start_zerotier.run(machine, config.zerotier, current)
    _save(machine, current)
    wan, ipv6 = _choose_ipv6(machine, config, wan, current)
    join_network.leave(machine, config.network, str(current.registered.get("network", "")))
    people = _people(config, node, ipv6, wan, current)
    if people:
        current = _joined(machine, people, current)
    else:
        current = _registered(machine, config, node, ipv6, wan, current, insist)
    ipv6 = _as_registered(ipv6, current)
    network = join_network.run(machine, config.network, IPv4Address(current.address))
    verify.kernel(machine, network)

    ports = firewall.ports(machine.service.status())
    situation = situation.with_wan(wan).with_network(network, ipv6, ports)
    load_firewall.run(machine, config, situation)
    current = current.but(situation=asdict(situation), way=ipv6.way)
    _save(machine, current)
    if ipv6.way == ON_LINK and ipv6.subnet:
        proxy_ndp.run(machine, wan.interface6, network, ipv6.subnet, node)
    else:
        proxy_ndp.stop(machine, wan.interfaces)

    works6, reason = _prove(machine, config, wan, ipv6, current)
    if people:
        tried = replace(people, works6=works6 or ipv6.range is None)
        current = ask_people.for_routes(machine, tried, current)
    else:
        current = _published(machine, config, node, works6, current)
    current = _without_token(machine, config, current)
    _save(machine, current)
    return _outcome(machine, found, node, ipv6, reason, wan, current)


def _outcome(
    machine: Machine, found: Found, node: str, ipv6: Choice, reason: str, wan: Wan, current: State
) -> Outcome:
    """What people are told of a gateway that is ready."""
    announced = any(route.startswith("::/0") for route in current.routes)
    if not announced:
        reason = _why_not_announced(machine, found.config, reason, current)
    missing = (f"to do at the controller: {item.words}" for item in machine.todo)
    return Outcome(
        source=str(found.path),
        network=found.config.network,
        node=node,
        address=current.address,
        ipv6=ipv6.way if announced else members_subnet.NONE,
        ipv6_found=ipv6.found,
        subnet=str(ipv6.subnet) if ipv6.subnet and announced else "",
        ipv6_reason=reason,
        wan=wan,
        routes=current.routes,
        token=current.token,
        warnings=tuple(dict.fromkeys((*current.warnings, *machine.warnings, *missing))),
    )


def _why_not_announced(machine: Machine, config: Config, reason: str, current: State) -> str:
    """Why there is no IPv6 for members, and what would bring it."""
    if config.controller.kind == "none":
        return reason or "not at the controller yet: " + "; ".join(item.short for item in machine.todo)
    if reason and current.token != "kept" and config.ipv6.mode == "auto":
        return f"{reason}; to announce it later, run `{standing.REGISTER}`"
    return reason


def _save(machine: Machine, current: State) -> None:
    if not machine.dry_run:
        state.save(machine.paths, current)


def _choose_ipv6(machine: Machine, config: Config, wan: Wan, current: State) -> tuple[Wan, Choice]:
    """How members' IPv6 leaves, with some patience for what the router has yet to say."""
    mode = config.ipv6.mode
    seen, choice = wan, members_subnet.none("")

    def look() -> None:
        nonlocal seen, choice
        seen = uplink.run(machine)
        choice = _way_out(machine, config, seen, current)
        as_before = current.subnet in ("", str(choice.subnet)) or choice.way == members_subnet.NAT66
        if mode != "off" and (choice.way == members_subnet.NONE or not as_before):
            raise WaitingError(f"IPv6: {choice.found}")

    try:
        machine.wait(look, _patience(machine, current))
    except WaitingError:
        if choice.way == members_subnet.NONE and mode in members_subnet.INSISTING:
            raise
    return seen, choice


def _patience(machine: Machine, current: State) -> float:
    """At a first boot an advertisement may be late; at any, the prefix of addresses that members have."""
    starting = current.subnet and machine.clock.now() < STARTING
    return IPV6_PATIENCE if starting or not current.registered else 0.0


def _way_out(machine: Machine, config: Config, wan: Wan, current: State) -> Choice:
    """What gateway.yaml says; with mode auto each prefix is tried until one works."""
    settings = config.ipv6
    choice = members_subnet.fixed(settings, wan, config.network)
    if choice:
        return choice
    registered = IPv6Network(current.subnet) if current.subnet else None
    candidates = members_subnet.prefixes(settings, wan, registered)
    verdicts: dict[IPv6Network, str] = {}
    for prefix in candidates:
        subnet = members_subnet.subnet_of(settings, wan, prefix)
        verdict = members_subnet.told(settings)
        if verdict is None:
            proxy_ndp.allow(machine, wan.interface6)
            retry = _retry(config, current)
            verdict = probe_ipv6.run(machine, wan, prefix, subnet, prove.TARGETS[6], retry=retry)
        verdicts[prefix] = verdict
        if verdict in members_subnet.accepted(settings):
            break
    return members_subnet.choose(settings, wan, candidates, verdicts)


def _retry(config: Config, current: State) -> float | None:
    """When to probe again: at a first boot at once, as the token is gone afterwards."""
    people = config.controller.kind == "none"
    if not current.registered or (people and not current.routes):
        return 0.0
    return probe_ipv6.RETRY if current.subnet or config.controller.token or people else None


def _as_registered(ipv6: Choice, current: State) -> Choice:
    """Nothing is done for addresses that the controller does not give."""
    if ipv6.subnet and str(ipv6.subnet) != current.subnet:
        return members_subnet.none(f"{ipv6.subnet} is not registered at the controller")
    if ipv6.way == members_subnet.NAT66 and not current.registered.get("nat66"):
        return members_subnet.none("NAT66 is not registered at the controller")
    return ipv6


def _people(config: Config, node: str, ipv6: Choice, wan: Wan, current: State) -> by_hand.Want | None:
    """What people are asked to do at the controller; None if it is asked by its API."""
    if config.controller.kind != "none":
        return None
    return by_hand.Want(
        network=config.network,
        node=node,
        address=config.gateway.address,
        wan=wan.network,
        subnet=ipv6.subnet,
        old_subnet=IPv6Network(current.subnet) if current.subnet else None,
        nat66=ipv6.way == members_subnet.NAT66,
        insist6=config.ipv6.mode in members_subnet.INSISTING,
    )


def _joined(machine: Machine, people: by_hand.Want, current: State) -> State:
    """A member with an address, when people have made it one. Until then it keeps its node id."""
    current = current.but(registered={"network": people.network, "node": people.node})
    _save(machine, current)
    join_network.join(machine, people.network)
    return ask_people.for_address(machine, people, current)


def _registered(
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


def _prove(machine: Machine, config: Config, wan: Wan, ipv6: Choice, current: State) -> tuple[bool, str]:
    """Whether IPv6 works, and why not; WaitingError while IPv4 does not.

    Once per boot and situation; IPv6 is tried again as long as it could still be published.
    """
    mark = machine.paths.run_dir / "proved"
    key = f"{wan} {current.address} {ipv6.way} {ipv6.range}"
    proved = store.read_json(mark)
    unproved = str(proved.get("unproved", "")) if proved.get("key") == key else ""
    publishable = config.controller.token or config.controller.kind == "none"
    done = proved.get("key") == key and not (unproved and publishable)
    if not machine.dry_run and not done:
        unproved = _ping(machine, config, ipv6, current)
        store.write(mark, json.dumps({"key": key, "unproved": unproved}).encode())
    if ipv6.range is None:
        return False, ipv6.found
    return not unproved, unproved


def _ping(machine: Machine, config: Config, ipv6: Choice, current: State) -> str:
    """Why IPv6 does not work, "" when it does or when there is none."""
    url = config.controller.url
    prove.run(machine, 4, lambda: current.address, url)
    source = ipv6.range
    if source is None:
        return ""
    try:
        prove.run(machine, 6, lambda: join_network.address_in(machine, config.network, source), url)
    except WaitingError as unproved:
        if config.ipv6.mode in members_subnet.INSISTING:
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
        check_clock.run(machine)
        machine.controller = open_controller(config.controller, machine.paths, machine.calls)
