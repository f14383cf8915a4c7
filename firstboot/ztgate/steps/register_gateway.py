"""Step: the controller knows this gateway, its address and members' ranges. Default routes come later."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from .. import register
from ..actions import WriteMember, WriteNetwork
from ..config import Config
from ..controllers.base import Controller
from ..errors import ZtgateError
from ..machine import Machine
from ..register import Want
from ..state import State


def fingerprint(config: Config, node: str, subnet: IPv6Network | None) -> dict[str, Any]:
    """What the registration depends on: as long as this stays, the controller need not be asked."""
    return {
        "network": config.network,
        "node": node,
        "name": config.gateway.name,
        "address": str(config.gateway.address or "auto"),
        "mtu": config.gateway.mtu,
        "subnet": str(subnet or ""),
    }


def check_default_routes(settings: register.Settings, want: Want, ours: list[str], takeover: bool) -> None:
    """Stop where somebody else is the gateway already."""
    families = {register.DEFAULT4, register.DEFAULT6} if want.subnet else {register.DEFAULT4}
    found = register.foreign_defaults(settings, [str(want.rfc4193), *ours])
    foreign = [(net, via) for net, via in found if net in families]
    if foreign and not takeover:
        listed = ", ".join(f"{net} via {via}" for net, via in foreign)
        raise ZtgateError(
            f"network {want.network} already has a default route through another gateway: {listed}",
            "set gateway.takeover: true to replace it, or remove it at the controller",
        )


def run(machine: Machine, config: Config, want: Want, wan: IPv4Network, state: State) -> State:
    """Write what differs, read it back, remember it."""
    controller = _controller(machine)
    before = controller.network(want.network).settings
    members = controller.members(want.network)
    own = members.get(want.node)
    ours = [state.address, *(own.addresses if own else ())]
    check_default_routes(before, want, ours, config.gateway.takeover)

    settings = _write_ranges(machine, controller, want, before, wan)
    address = register.choose_address(settings, want, members)
    changes = register.plan_member(own, want, address)
    if changes:
        machine.do([WriteMember(want.node, changes, "this gateway as a member")])
        _check_member(machine, controller, want, changes)
    for node, change in register.plan_renumbering(members.values(), want).items():
        machine.do([WriteMember(node, change, "drop an address of the prefix that is gone")])
    _finish(machine, controller, want, settings)
    subnet = str(want.subnet or "")
    registered = fingerprint(config, want.node, want.subnet)
    warnings = tuple(machine.warnings)
    return state.but(registered=registered, address=str(address), subnet=subnet, warnings=warnings)


def _write_ranges(
    machine: Machine, controller: Controller, want: Want, before: register.Settings, wan: IPv4Network
) -> register.Settings:
    changes = register.plan_ranges(before, want, wan)
    if not changes:
        return before
    machine.do([WriteNetwork(changes, "ranges and MTU of the network")])
    if machine.dry_run:
        return {**before, **changes}
    after = controller.network(want.network).settings
    _must_be_same(register.not_taken_over(changes, after))
    return after


def _check_member(machine: Machine, controller: Controller, want: Want, changes: register.Settings) -> None:
    if machine.dry_run:
        return
    member = controller.members(want.network).get(want.node)
    found = {**member.settings, "name": member.name} if member else {}
    _must_be_same(register.not_taken_over(changes, found))


def _must_be_same(keys: list[str]) -> None:
    if keys:
        raise ZtgateError(
            f"the controller did not keep what was written: {', '.join(keys)}",
            "somebody else may be changing the network at the same time; ztgate tries again",
        )


def _finish(machine: Machine, controller: Controller, want: Want, settings: register.Settings) -> None:
    """The old range goes when nobody has an address of it any more."""
    changes = register.plan_cleanup(settings, want)
    if changes:
        machine.do([WriteNetwork(changes, "remove the range of the prefix that is gone")])
    members = controller.members(want.network)
    settings = {**settings, **changes}
    for node, address in register.orphans(members.values(), settings):
        machine.warn(
            f"member {node}: its address {address} is in none of the network's ranges; remove it there"
        )


def _controller(machine: Machine) -> Controller:
    if machine.controller is None:
        raise ZtgateError("no controller was opened", "this is a bug in ztgate")
    return machine.controller
