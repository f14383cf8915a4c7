"""Step: established connections take the kernel's fast path, and what members send and get is counted.

What of our rules hangs on an interface is in tables of its own: it can only be loaded when the interface is
there, goes with it when ZeroTier starts again, and is missed by nobody meanwhile. Where the kernel has no
flowtables all packets take the usual way, which is slower.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from .. import firewall, owners
from ..actions import Action, Command
from ..config import Config
from ..errors import ZtgateError
from ..machine import Machine
from ..owners import Elements

log = logging.getLogger("ztgate")
LOOK = ("nft", "-j", "list", "table", "inet", "ztgate_fast")
# Asks the kernel, and changes nothing. Its list of modules is out of this service's sight.
TRY = ("nft", "-c", "-f", "-")
TRIAL = "table inet ztgate_trial { flowtable f { hook ingress priority 0; }; chain c { flow add @f; }; }"
OWNERS = {4: "owner4", 6: "owner6"}
SETS = dict.fromkeys(OWNERS.values(), ("inet ztgate_fast",))
Items = list[dict[str, Any]]


def inputs(config: Config, situation: firewall.Situation, flowtables: bool) -> dict[str, Any]:
    """Everything that the template reads, where there are both sides of a way."""
    values = firewall.inputs(config, situation)
    kept = {key: values[key] for key in ("zt", "lan4", "lan6", "subnet", "page")}
    devices = sorted({situation.zt, situation.wan, situation.wan6})
    return {**kept, "devices": devices, "flowtables": flowtables}


def whole(items: Items, values: dict[str, Any]) -> bool:
    """Whether all of it is there; what hung on an interface that is gone is not."""
    chains = {str(item["chain"].get("name")) for item in items if "chain" in item}
    named = [item["flowtable"].get("dev", []) for item in items if "flowtable" in item]
    devices = sorted(name for each in named for name in ([each] if isinstance(each, str) else each))
    revision = firewall.revision(values, firewall.FAST_PATH)
    return {f"rev_{revision}", "ingress"} <= chains and devices == values["devices"] * values["flowtables"]


def load(values: dict[str, Any], known: Elements) -> list[Action]:
    """All of it, in place of what is there of it."""
    text = firewall.fast_path(values, {family: sorted(known[name]) for family, name in OWNERS.items()})
    return [Command(("nft", "-f", "-"), "established connections take the fast path", stdin=text)]


def run(machine: Machine, config: Config, situation: firewall.Situation, known: Elements) -> None:
    """After the rules are loaded and members are served; where it fails they are served all the same."""
    if not (situation.zt and situation.wan):
        return
    fast, slow = (inputs(config, situation, flowtables) for flowtables in (True, False))
    status, output = machine.probe(LOOK)
    items: Items = json.loads(output or "{}").get("nftables", []) if status == 0 else []
    if whole(items, fast) or whole(items, slow):
        machine.do(owners.plan(known, owners.parse(output), SETS))
        return
    able, _ = machine.probe(TRY, stdin=TRIAL)
    try:
        machine.do(load(fast if able == 0 else slow, known))
    except ZtgateError as error:
        log.warning("members are served, but not as fast as could be: %s", error.message)
