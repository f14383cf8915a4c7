"""What the kernel does with members' packets: routes, forwarding, rules."""

from __future__ import annotations

from typing import Any

from .. import firewall as rules
from .. import store
from .patient import Patient, Rows
from .verdict import Result


def kernel_routes(patient: Patient) -> Result:
    """Answers find the way back to members."""
    network = patient.network()
    return judge_kernel_routes(network.routes, network.interface, [*patient.routes4(), *patient.routes6()])


def judge_kernel_routes(routes: tuple[tuple[str, str], ...], zt: str, rows: Rows) -> Result:
    """The network's own ranges are on its device."""
    present = {str(row.get("dst")) for row in rows if row.get("dev") == zt}
    missing = [target for target, via in routes if not via and target not in present]
    evidence = f"missing: {', '.join(missing)}" if missing else f"members' ranges are on {zt}"
    return not missing, evidence, "systemctl restart zerotier-one, then ztgate apply"


def forwarding(patient: Patient) -> Result:
    """The kernel is a router."""
    keys = {"net/ipv4/ip_forward": "IPv4", "net/ipv6/conf/all/forwarding": "IPv6"}
    off = [
        name
        for key, name in keys.items()
        if (store.read_text(patient.machine.paths.sysctl / key) or "0").strip() == "0"
    ]
    return not off, f"off for {', '.join(off)}" if off else "on for IPv4 and IPv6", "ztgate apply"


def firewall(patient: Patient) -> Result:
    """The rules that gateway.yaml asks for are loaded, and see packets."""
    situation = rules.remembered(patient.state.situation)
    revision = rules.revision(rules.inputs(patient.config, situation))
    items = rules.listed(lambda argv: patient.probe(*argv))
    if not items:
        return False, "table inet ztgate is not loaded", "systemctl restart nftables, then ztgate apply"
    return judge_rules(items, revision)


def judge_rules(items: list[dict[str, Any]], revision: str) -> Result:
    """From `nft -j list`; that nobody has sent anything yet is no fault, nor a kernel without a fast path."""
    chains = {str(item["chain"].get("name")) for item in items if "chain" in item}
    if f"rev_{revision}" not in chains:
        return False, "other rules than gateway.yaml asks for are loaded", "ztgate apply"
    counted = counts([item["rule"] for item in items if "rule" in item])
    seen = ", ".join(f"{name} {packets}" for name, packets in counted.items() if packets)
    fast = "on" if any(item.get("flowtable", {}).get("dev") for item in items) else "off"
    return True, f"revision {revision}; fast path {fast}; packets: {seen or 'none yet'}", ""


def counts(found: list[dict[str, Any]]) -> dict[str, int]:
    """Packets by the comments of rules that count them."""
    totals: dict[str, int] = {}
    for rule in found:
        name = str(rule.get("comment", ""))
        for part in rule.get("expr", []):
            if name and isinstance(part.get("counter"), dict):
                totals[name] = totals.get(name, 0) + int(part["counter"].get("packets", 0))
    return totals
