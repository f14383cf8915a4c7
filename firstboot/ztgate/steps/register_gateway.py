"""Step: the controller knows this gateway, its address and members' ranges. Default routes come later."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from .. import amend, derive, ledger, lint, names, register
from ..actions import WriteMember
from ..config import Config
from ..controllers.base import Member
from ..errors import ZtgateError
from ..facts import around
from ..machine import Machine
from ..register import Want
from ..state import State


def fingerprint(config: Config, node: str, subnet: IPv6Network | None, nat66: bool) -> dict[str, Any]:
    """What the registration depends on: as long as this stays, the controller need not be asked."""
    return {
        "network": config.network,
        "node": node,
        "name": config.gateway.name,
        "address": str(config.gateway.address or "auto"),
        "mtu": config.gateway.mtu,
        "subnet": str(subnet or ""),
        **({"nat66": True} if nat66 else {}),
    }


def check_default_routes(settings: register.Settings, want: Want, ours: list[str], takeover: bool) -> None:
    """Stop where somebody else is the gateway already."""
    families = {register.DEFAULT4, register.DEFAULT6} if want.ipv6 else {register.DEFAULT4}
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
    controller = machine.require_controller()
    before = controller.network(want.network).settings
    members = controller.members(want.network)
    own = members.get(want.node)
    ours = [state.address, *(own.addresses if own else ())]
    check_default_routes(before, want, ours, config.gateway.takeover)
    planned = {**before, **register.plan_ranges(before, want, wan)}
    address = register.choose_address(planned, want, members)
    around_here = around.read(machine.run, derive.interface(want.network))
    lint.check(lint.Case(planned, members, want, address, around_here))
    _note_member(machine, own)
    names.remember(machine, members.values())

    amend.network(machine, lambda now: register.plan_ranges(now, want, wan), "ranges and MTU of the network")
    amend.member(
        machine, want.node, lambda now: register.plan_member(now, want, address), "this gateway as a member"
    )
    for node, change in register.plan_renumbering(members.values(), want).items():
        machine.do([WriteMember(node, change, "drop an address of the prefix that is gone")])
    # The old range goes when nobody has an address of it any more.
    amend.network(
        machine, lambda now: register.plan_cleanup(now, want), "remove the range of the prefix that is gone"
    )
    return state.but(
        registered=fingerprint(config, want.node, want.subnet, want.nat66),
        address=str(address),
        subnet=str(want.subnet or ""),
        warnings=tuple(machine.warnings),
    )


def _note_member(machine: Machine, own: Member | None) -> None:
    """What `ztgate withdraw` will need."""
    if not machine.dry_run:
        before = {**own.settings, "name": own.name} if own else None
        noted = ledger.note_member(ledger.load(machine.paths, machine.network_id), before)
        ledger.save(machine.paths, noted)
