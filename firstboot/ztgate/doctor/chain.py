"""The links of the chain, in the order in which each depends on those before: the article's way to debug."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .. import configfile, state
from ..errors import ZtgateError
from ..machine import Machine
from . import members, network, packets, resolver, uplink, zerotier
from .patient import Patient, later
from .verdict import Result, Verdict

CHECKS: tuple[tuple[str, Callable[[Patient], Result]], ...] = (
    ("link", uplink.link),
    ("address", uplink.address),
    ("router", uplink.router),
    ("clock", uplink.clock),
    ("dns", uplink.dns),
    ("tun", zerotier.device),
    ("zerotier", zerotier.online),
    ("paths", zerotier.paths),
    ("membership", zerotier.membership),
    ("mac", zerotier.mac),
    ("addresses", zerotier.addresses),
    ("default routes", zerotier.default_routes),
    ("kernel routes", network.kernel_routes),
    ("forwarding", network.forwarding),
    ("firewall", network.firewall),
    ("nat", packets.nat),
    ("internet", packets.internet),
    ("ipv6", packets.ipv6),
    ("ndp proxy", packets.ndp),
    ("mtu", packets.mtu),
    ("members", members.path),
    ("resolver", resolver.resolver),
    ("token", packets.token),
)


def examine(machine: Machine) -> list[Verdict]:
    """Every verdict. All checks begin at once, as those that fail take longest."""
    try:
        found = configfile.find(machine.paths)
    except ZtgateError as error:
        return [Verdict("configuration", False, error.message, error.hint)]
    current = state.load(machine.paths)
    if current.withdrawn == found.config.network:
        hint = "ztgate register --token-file FILE makes this machine its gateway again"
        return [Verdict("configuration", False, f"withdrawn from network {current.withdrawn}", hint)]
    patient = Patient(machine, found.config, current)
    begun = [(name, later(partial(check, patient), patient.end)) for name, check in CHECKS]
    verdicts = [_verdict(name, result) for name, result in begun]
    return [Verdict("configuration", True, str(found.path)), *verdicts]


def _verdict(name: str, result: Callable[[], Result]) -> Verdict:
    try:
        ok, evidence, step = result()
    except ZtgateError as error:
        return Verdict(name, False, error.message, error.hint)
    except (OSError, ValueError, KeyError) as error:
        return Verdict(name, False, f"cannot be examined: {type(error).__name__} {error}")
    return Verdict(name, ok, evidence, "" if ok else step)
