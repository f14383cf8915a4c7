"""`ztgate authorize` and `ztgate deauthorize`: who is a member of the network.

That is its owner's decision, so the ledger has nothing of it and `ztgate withdraw` leaves it as it is. Only
that member is written, and no file that `ztgate apply` writes, so neither waits for the other.
"""

from __future__ import annotations

import logging
import os

from . import amend, configfile, formats
from .by_hand import FUNCTIONS
from .calls import Calls
from .config import Config
from .controllers.base import Member
from .controllers.open import open_controller
from .errors import WaitingError, ZtgateError
from .machine import Machine
from .register import Settings
from .secret import Secret
from .steps import check_clock
from .wait import until

log = logging.getLogger("ztgate")

# Seconds: the real daemon asks again every 5 while it is not let in.
PATIENCE = 30.0
NO_TOKEN = "no token for the controller: it is not kept on this machine"
TOKEN_HINT = "give it as --token-file FILE, or - for standard input; token-after-setup: keep would keep it"


def node_id(text: str) -> str:
    """A member's node id as it was typed; ZtgateError if it is none."""
    if formats.NODE.fullmatch(text) is None:
        what = "a network id" if len(text) == 16 else "no node id"
        hint = "a node id has 10 hexadecimal digits: `zerotier-cli info` on the member shows it"
        raise ZtgateError(f"`{text}` is {what}", hint)
    node = text.lower()
    # ZeroTierOne 1.14.1, node/Address.hpp, isReserved().
    if node == "0" * 10 or node.startswith("ff"):
        raise ZtgateError(
            f"`{text}` is a node id that ZeroTier reserves: nobody has it",
            "`zerotier-cli info` on the member shows its own",
        )
    return node


def name_of(text: str, option: str, longest: int = 64) -> str:
    """A member's name as it was typed; ZtgateError if a controller would not take it."""
    if not formats.NAME.fullmatch(text) or len(text) > longest:
        what = f"up to {longest} letters, digits, spaces, dots, dashes and underscores"
        raise ZtgateError(f"{option}: `{text}` is no name for a member", f"{what}, a letter or digit first")
    return text


def authorize(machine: Machine, node: str, name: str, token: Secret | None) -> None:
    """Let a member in, whether it has asked or not, and say when it has its address."""
    _open(machine, token, node, f"authorize {node}", "true")
    before = machine.require_controller().member(machine.network_id, node)
    amend.member(machine, node, lambda now: plan(now, name), "its owner lets it in")
    shown = f"{node} ({name})" if name else node
    if before and before.authorized:
        _report(machine, f"{shown} is a member of network {machine.network_id} already")
    else:
        _report(machine, f"{shown} is let into network {machine.network_id}")
    if before is None:
        log.info("it has not asked yet: it gets its addresses when it joins")
        return
    _say_addresses(machine, node)


def deauthorize(machine: Machine, node: str, token: Secret | None) -> None:
    """Put a member out."""
    _open(machine, token, node, f"deauthorize {node}", "false")
    before = machine.require_controller().member(machine.network_id, node)
    if before is None:
        raise ZtgateError(
            f"{node} is no member of network {machine.network_id}", "`ztgate members` lists them"
        )
    changes: Settings = {"authorized": False}
    amend.member(
        machine, node, lambda now: changes if now and now.authorized else {}, "its owner puts it out"
    )
    if not before.authorized:
        _report(machine, f"{node} is out of network {machine.network_id} already")
        return
    _report(machine, f"{node} is put out of network {machine.network_id}")
    log.info("the other members are told at once; itself it finds out within a minute")


def plan(member: Member | None, name: str) -> Settings:
    """Changes that let a member in, and name it if there is a name for it."""
    changes: Settings = {} if member and member.authorized else {"authorized": True}
    if name and (member is None or member.name != name):
        changes["name"] = name
    return changes


def desk(machine: Machine, token: Secret | None, instead: str) -> Config:
    """Open the controller that members are let in at. instead: what to do where its API is not asked."""
    found = configfile.find(machine.paths)
    if found.config.controller.kind == "none":
        raise ZtgateError("controller.kind is none: this gateway asks no controller", instead)
    config = configfile.with_token(found, token).config
    if not config.controller.token:
        raise ZtgateError(NO_TOKEN, TOKEN_HINT)
    check_clock.run(machine)
    machine.network_id = config.network
    # What apply remembers of a controller in trouble is apply's own: it is read, and not written.
    machine.calls = Calls(machine.paths, machine.clock, dry_run=True)
    machine.calls.begin(patient=False)
    machine.controller = open_controller(config.controller, machine.paths, machine.calls)
    return config


def journal(machine: Machine, line: str) -> None:
    """Where a shell's output does not go by itself."""
    if "JOURNAL_STREAM" not in os.environ:
        machine.probe(("systemd-cat", "-t", "ztgate"), stdin=line)


def _open(machine: Machine, token: Secret | None, node: str, deed: str, authorized: str) -> None:
    network = configfile.find(machine.paths).config.network
    if machine.service.node() == node:
        raise ZtgateError(
            f"{node} is this gateway itself",
            "`ztgate register` lets it in, and `ztgate withdraw` takes it out",
        )
    base, ask, _ = (line.format(network=network) for line in FUNCTIONS)
    command = f"{base}; {ask}; ask -o /dev/null -d '{{\"authorized\": {authorized}}}' $N/member/{node}"
    desk(machine, token, f"at the controller, Members: {deed}; or in a self-hosted one's shell: {command}")


def _report(machine: Machine, line: str) -> None:
    log.info("%s", line)
    journal(machine, line)


def _say_addresses(machine: Machine, node: str) -> None:
    """A controller that has pools gives addresses when the member next asks."""

    def check() -> str:
        member = machine.require_controller().member(machine.network_id, node)
        if member is None or not member.addresses:
            raise WaitingError(f"{node} has no address yet")
        return ", ".join(member.addresses)

    try:
        addresses = until(
            check, seconds=PATIENCE, clock=machine.clock, say=lambda _: None, first=1.0, longest=5.0
        )
        log.info("its addresses: %s", addresses)
    except WaitingError as reason:
        log.info("%s: it gets one when it is online and asks, if the network assigns any", reason.message)
