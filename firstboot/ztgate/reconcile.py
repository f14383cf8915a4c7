"""The steps in their order: what a gateway becomes, read from top to bottom.

Every step reads facts again, so a run that ends early is simply done again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address, IPv6Network

from . import by_hand, firewall, members_subnet, names, owners, standing, state, store, tell, way6
from .config import Config
from .configfile import Found
from .errors import WaitingError
from .facts.ipv6_probe import ON_LINK
from .facts.wan import Wan
from .machine import Machine
from .members_subnet import Choice
from .state import State
from .steps import (
    ask_people,
    check_disk,
    drop_token,
    fast_path,
    gate,
    join_network,
    keep_identity,
    know_addresses,
    load_firewall,
    lost_routers,
    prove,
    proxy_ndp,
    schedule_updates,
    serve_dns,
    serve_page,
    ssh_keys,
    start_zerotier,
    take_identity,
    track_connections,
    uplink,
    verify,
    wifi,
)
from .zerotier import Network


@dataclass(frozen=True)
class Outcome:
    """A gateway that is ready. subnet is "" when IPv6 is not announced, ipv6_reason says why.

    ipv6: how members' IPv6 leaves; ipv6_found: what was found of it, in words.
    resolver: where members look names up, () without; domain: theirs, "" without a resolver.
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
    resolver: tuple[str, ...]
    domain: str
    token: str
    warnings: tuple[str, ...]


def reconcile(machine: Machine, found: Found, insist: bool = False) -> Outcome:
    """Make the machine the gateway that the configuration describes; insist on asking the controller."""
    config, paths = found.config, machine.paths
    machine.network_id = config.network
    machine.controller = None
    machine.begin()
    current = state.load(paths)
    situation = firewall.remembered(current.situation)

    check_disk.run(machine)
    ssh_keys.run(machine, config.ssh)
    _filter(machine, config, situation)
    track_connections.run(machine)
    wifi.run(machine, config.wifi)
    wan = _uplink(machine)
    take_identity.run(machine)
    node, current = start_zerotier.run(machine, config.zerotier, current)
    machine.remember(current)
    wan, ipv6 = way6.choose(machine, config, wan, current)
    join_network.leave(machine, config.network, str(current.registered.get("network", "")))
    people = _people(config, node, ipv6, wan, current)
    if people:
        current = _joined(machine, people, current)
    else:
        current = tell.registered(machine, config, node, ipv6, wan, current, insist)
    keep_identity.run(machine, node)
    ipv6 = way6.as_registered(ipv6, current)
    network = join_network.run(machine, config.network, IPv4Address(current.address))
    verify.kernel(machine, network)
    verify.overlaps(machine, network, refuse=people is not None)

    situation = _situation(machine, situation.with_wan(wan), network, ipv6)
    _filter(machine, config, situation)
    current = current.but(situation=asdict(situation), way=ipv6.way)
    machine.remember(current)
    _know(machine, config, situation, owners.known(machine, wan, network, node, ipv6.subnet))
    _answer(machine, wan, network, ipv6, node)
    _beside(machine, config, network, node, current)
    servers = serve_dns.run(machine, config, network, node, ipv6.subnet, current)

    works6, reason = _prove(machine, config, wan, ipv6, current)
    if people:
        tried = replace(people, works6=works6 or ipv6.range is None)
        current = ask_people.for_routes(machine, tried, current)
    else:
        current = tell.published(machine, config, node, works6, current)
        current = tell.resolver(machine, config, node, servers, current, insist)
    current = _without_token(machine, config, current)
    machine.remember(current)
    return _outcome(machine, found, node, ipv6, reason, wan, servers, current)


def _uplink(machine: Machine) -> Wan:
    """The WAN, without routers that are gone."""
    wan = uplink.run(machine)
    lost_routers.run(machine)
    return wan


def _situation(
    machine: Machine, known: firewall.Situation, network: Network, ipv6: Choice
) -> firewall.Situation:
    """With the network, and the ports that ZeroTier has now."""
    return known.with_network(network, ipv6, firewall.ports(machine.service.status()))


def _filter(machine: Machine, config: Config, situation: firewall.Situation) -> None:
    """The rules, and that nothing is forwarded where they are gone."""
    load_firewall.run(machine, config, situation)
    gate.run(machine, (situation.zt, situation.wan, situation.wan6))


def _know(machine: Machine, config: Config, situation: firewall.Situation, known: owners.Elements) -> None:
    """Whose address is whose; the fast path is for those who are who they say they are."""
    know_addresses.run(machine, known)
    machine.later.append(lambda: fast_path.run(machine, config, situation, known))


def _answer(machine: Machine, wan: Wan, network: Network, ipv6: Choice, node: str) -> None:
    """Members' IPv6 addresses are found where they are looked for."""
    if ipv6.way == ON_LINK and ipv6.subnet:
        proxy_ndp.run(machine, wan.interface6, network, ipv6.subnet, node)
    else:
        proxy_ndp.stop(machine, wan.interfaces)


def _beside(machine: Machine, config: Config, network: Network, node: str, current: State) -> None:
    """What is no part of the way out: the page, and updates at night."""
    serve_page.run(machine, config, network, node)
    schedule_updates.run(machine, config.updates)


def _outcome(
    machine: Machine,
    found: Found,
    node: str,
    ipv6: Choice,
    reason: str,
    wan: Wan,
    servers: tuple[str, ...],
    current: State,
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
        resolver=servers,
        domain=names.domain(found.config.dns) if servers else "",
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
        domain=config.dns.domain if config.dns else "",
        takeover=config.gateway.takeover,
    )


def _joined(machine: Machine, people: by_hand.Want, current: State) -> State:
    """A member with an address, when people have made it one. Until then it keeps its node id."""
    current = current.but(registered={"network": people.network, "node": people.node})
    machine.remember(current)
    join_network.join(machine, people.network)
    return ask_people.for_address(machine, people, current)


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
