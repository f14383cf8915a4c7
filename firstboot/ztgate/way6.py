"""How members' IPv6 leaves: gateway.yaml's word, or what a probe finds."""

from __future__ import annotations

from ipaddress import IPv6Network

from . import members_subnet
from .config import Config
from .errors import WaitingError
from .facts.wan import Wan
from .machine import Machine
from .members_subnet import Choice
from .state import State
from .steps import probe_ipv6, prove, proxy_ndp, uplink

IPV6_PATIENCE = 15.0  # seconds for a router advertisement, or a delegated prefix, once IPv4 is there
STARTING = 90.0  # seconds after power-on in which they may still be on their way


def choose(machine: Machine, config: Config, wan: Wan, current: State) -> tuple[Wan, Choice]:
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


def as_registered(ipv6: Choice, current: State) -> Choice:
    """Nothing is done for addresses that the controller does not give."""
    if ipv6.subnet and str(ipv6.subnet) != current.subnet:
        return members_subnet.none(f"{ipv6.subnet} is not registered at the controller")
    if ipv6.way == members_subnet.NAT66 and not current.registered.get("nat66"):
        return members_subnet.none("NAT66 is not registered at the controller")
    return ipv6
