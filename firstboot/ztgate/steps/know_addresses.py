"""Step: the firewall and ARP know whose address is whose (owners.py)."""

from __future__ import annotations

from .. import owners
from ..machine import Machine
from ..owners import Elements

LOOK = ("nft", "-j", "list", "table", "inet", "ztgate")


def run(machine: Machine, wanted: Elements) -> None:
    """Tell them; a table that is not there is load_firewall's business."""
    status, output = machine.probe(LOOK)
    if status == 0:
        machine.do(owners.plan(wanted, owners.parse(output)))
