"""Step: the network's DNS setting points members at the gateway's resolver, or is what it was before."""

from __future__ import annotations

from collections.abc import Iterable

from .. import amend, ledger, lint, register
from ..controllers.base import NO_DNS
from ..machine import Machine


def run(
    machine: Machine, domain: str, servers: tuple[str, ...], ours: Iterable[str], *, takeover: bool
) -> str:
    """Write it if need be; in words, the setting of somebody else that stays as it is, or "".

    Without a domain our setting is taken back. ours: every address that this gateway has or had.
    """
    wanted = {"domain": domain, "servers": list(servers)} if domain else None
    own, kept = [*ours, *servers], ""
    before = ledger.load(machine.paths, machine.network_id).values.get("dns", [NO_DNS])[0]
    if domain:
        lint.dns(domain, servers)

    def plan(now: register.Settings) -> register.Settings:
        nonlocal kept
        kept = register.foreign_dns(now, own) if wanted and not takeover else ""
        return {} if kept else register.plan_dns(now, wanted, own, before)

    amend.network(machine, plan, "members' DNS")
    return kept
