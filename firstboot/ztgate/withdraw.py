"""`ztgate withdraw`: the network becomes what it was before this gateway came, and this machine leaves it.

In an order in which no member's address is ever without a range while a default route is there (it would
become a /0), and no next hop is ever changed in place (members on Linux would keep the old one).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from . import amend, by_hand, ledger, register
from .actions import CallService, Command, DeleteMember, WriteMember
from .config import Config
from .controllers.base import Member
from .firewall import Situation
from .ledger import Ledger, Settings
from .machine import Machine
from .register import Target
from .state import State
from .steps import ask_people, load_firewall, proxy_ndp, publish, serve_dns, serve_page


def run(machine: Machine, config: Config, node: str) -> None:
    """Take everything back, at the controller and here."""
    machine.check_power(delete=True)
    book = ledger.load(machine.paths, config.network)
    after = _stop_handing_out(machine, book)
    # Those that are back already, from a run that the power ended, are not waited for.
    gone = [target for target in _defaults(book) if not register.has_route(after, target)]
    if gone and book.removed.get("routes"):
        publish.wait_until_gone(machine, gone)
    _forget_addresses(machine, book, node)
    amend.network(
        machine, lambda now: ledger.plan_removal(book, now), "take back what this gateway changed", keep=False
    )
    amend.network(machine, lambda now: ledger.plan_return(book, now), "what was there before", keep=False)
    _leave(machine, config.network, node, book)
    _close(machine, config)


def run_by_hand(machine: Machine, config: Config, node: str, state: State) -> None:
    """Leave once nobody is sent here any more; what is to be removed at the controller is people's to do."""
    subnet = IPv6Network(state.subnet) if state.subnet else None
    nothing = IPv4Network("0.0.0.0/32")  # no range is looked for
    want = by_hand.Want(config.network, node, config.gateway.address, nothing, old_subnet=subnet)
    ask_people.for_withdrawal(machine, want)
    _leave_here(machine, config.network)
    _close(machine, config)


def _close(machine: Machine, config: Config) -> None:
    """Forward nothing, and answer nobody."""
    serve_dns.stop(machine)
    machine.do([Command(("systemctl", "stop", proxy_ndp.UNIT), "nobody's neighbour any more")])
    serve_page.stop(machine)
    load_firewall.run(machine, config, Situation())


def state_afterwards(network: str, state: State) -> State:
    """What is remembered: that it was withdrawn, so that the timer does not set it up again."""
    return State(written=state.written, withdrawn=network)


def _defaults(book: Ledger) -> list[Target]:
    rows = [ip_network(row["target"], strict=False) for row in book.added.get("routes", []) if row.get("via")]
    return [net for net in rows if net.prefixlen == 0]


def _stop_handing_out(machine: Machine, book: Ledger) -> Settings:
    """Default routes and pools first; ranges stay as long as members have addresses of them."""
    kept = {str(net) for net in ledger.ranges(book)}

    def plan(now: Settings) -> Settings:
        changes = ledger.plan_removal(book, now)
        if "routes" in changes:
            gone = [row for row in now["routes"] if row not in changes["routes"]]
            stay = [row for row in gone if not row.get("via") and str(_net(row)) in kept]
            changes["routes"] = [row for row in now["routes"] if row in changes["routes"] or row in stay]
        lists = {key: changes[key] for key in ledger.LISTS if key in changes}
        return {key: rows for key, rows in lists.items() if rows != now.get(key)}

    return amend.network(machine, plan, "members no longer go out here", keep=False)


def _forget_addresses(machine: Machine, book: Ledger, node: str) -> None:
    """Members' addresses of ranges that go."""
    ranges = ledger.ranges(book)
    for member in machine.require_controller().members(machine.network_id).values():
        texts = [str(text) for text in member.settings.get("ipAssignments") or []]
        kept = [text for text in texts if not _in(text, ranges)]
        if kept != texts and member.node != node:
            machine.do([WriteMember(member.node, {"ipAssignments": kept}, "an address of a range that goes")])


def _leave(machine: Machine, network: str, node: str, book: Ledger) -> None:
    """This machine goes; a member that was there before us becomes what it was."""
    _leave_here(machine, network)
    own = machine.require_controller().member(network, node)
    if own is None:
        return
    if book.member:
        changes = {key: value for key, value in book.member.items() if _shown(own).get(key) != value}
        machine.do([WriteMember(node, changes, "this member as it was")] if changes else [])
        return
    # One that is still authorized comes back with its next question.
    machine.do(
        [WriteMember(node, {"authorized": False}, "no longer a member"), DeleteMember(node, "forget it")]
    )


def _leave_here(machine: Machine, network: str) -> None:
    if machine.service.network(network) is not None:
        machine.do([CallService(f"/network/{network}", {}, "leave the network", "DELETE")])


def _shown(member: Member) -> dict[str, Any]:
    return {**member.settings, "name": member.name}


def _net(row: Settings) -> Target:
    return ip_network(row["target"], strict=False)


def _in(text: str, ranges: list[Target]) -> bool:
    address = ip_address(text.split("/")[0])
    return any(address.version == net.version and address in net for net in ranges)
