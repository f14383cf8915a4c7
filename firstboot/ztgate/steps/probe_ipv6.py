"""Step: find out how a prefix reaches this machine, once a boot and whenever other prefixes come or go."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from ipaddress import IPv6Network

from .. import store
from ..facts import ipv6_probe
from ..facts.ipv6_probe import DOWN, ON_LINK, ROUTED
from ..facts.wan import Wan
from ..machine import Machine

WORKS = (ON_LINK, ROUTED)
log = logging.getLogger("ztgate")
RETRY = 600.0  # seconds after which a prefix that was of no use is tried again, once the gateway is set up
AGAIN = 60.0  # the same of one that works, where there are others: a router that is back announces no new one


def run(
    machine: Machine,
    wan: Wan,
    prefix: IPv6Network,
    subnet: IPv6Network,
    hosts: Sequence[str],
    *,
    retry: float | None,
) -> str:
    """One of facts.ipv6_probe's verdicts on a prefix, from an address of its /80.

    retry: after how many seconds to try one again that did not work; None if nothing would come of it.
    """
    mark = machine.paths.run_dir / "ipv6-probe.json"
    # A new prefix beside it may be there in its place: who forgets the old one does not take it back.
    beside = sorted(str(other) for other in {*wan.delegated, *wan.prefixes} - {prefix})
    key = " ".join((f"{prefix} on {wan.interface6}", *(["beside", *beside] if beside else [])))
    known = store.read_json(mark)
    before, at = known.get(key, ("", 0.0))
    if before and not _is_due(before, machine.clock.now() - at, retry, alone=not beside):
        return str(before)
    if machine.dry_run:
        return ROUTED if prefix in wan.delegated else ON_LINK
    address = ipv6_probe.address_for(subnet, random.getrandbits(32))
    verdict = ipv6_probe.verdict(
        ipv6_probe.look(
            machine.probe, wan.interface6, address, wan.addresses6, hosts, machine.listen_for_solicitations
        )
    )
    log.info("probed %s with %s: %s", key, address, verdict)
    if before in WORKS and verdict not in WORKS:
        known = {}  # so much has changed that what did not work may do now
    store.write(mark, json.dumps({**known, key: (verdict, machine.clock.now())}).encode())
    return verdict


def _is_due(verdict: str, age: float, retry: float | None, *, alone: bool) -> bool:
    """Whether to try again: the one that works is left alone, and that nobody answers at all usually passes.

    Of several, one may have been forgotten by a router that announces another one again.
    """
    if verdict in WORKS:
        return not alone and age >= AGAIN
    if retry is None:
        return False
    return verdict == DOWN or age >= retry
