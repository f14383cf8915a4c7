"""The run-time firewall: what it depends on, and its text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import derive
from .config import Config
from .errors import reading
from .facts.wan import Wan
from .formats import METADATA4, METADATA6, PRIVATE4, PRIVATE6
from .members_subnet import NAT66, Choice
from .zerotier import DEFAULT_PORT, Network

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
RULES, FAST_PATH = "nftables.j2", "fast_path.j2"
LOOK = ("nft", "-j", "list", "ruleset")
TABLE = "ztgate"  # how the names of our tables begin


@dataclass(frozen=True)
class Situation:
    """What the machine contributes; empty as long as it is not known. ports: UDP, of ZeroTier.

    subnet: what members' IPv6 comes from; with nat66 it leaves with the WAN's address.
    lan6: the network's own IPv6 ranges; beyond: what lies behind other members, of both families.
    """

    zt: str = ""
    wan: str = ""
    wan6: str = ""
    lan4: tuple[str, ...] = ()
    subnet: str = ""
    nat66: bool = False
    ports: tuple[int, ...] = (DEFAULT_PORT,)
    lan6: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    def with_wan(self, wan: Wan) -> Situation:
        """The same with the WAN that is there now."""
        return replace(self, wan=wan.interface, wan6=wan.interface6 or wan.interface)

    def with_network(self, network: Network, ipv6: Choice, ports: tuple[int, ...]) -> Situation:
        """The same with the joined network and the way out that its members' IPv6 has."""
        lan4 = tuple(sorted(str(net) for net in network.lan4))
        ranges = [(ip_network(target), via) for target, via in network.routes]
        ranges = [(net, via) for net, via in ranges if net.prefixlen]
        return replace(
            self,
            zt=network.interface,
            lan4=lan4,
            subnet=str(ipv6.range or ""),
            nat66=ipv6.way == NAT66,
            ports=ports,
            lan6=tuple(sorted(str(net) for net, via in ranges if not via and net.version == 6)),
            beyond=tuple(sorted(str(net) for net, via in ranges if via)),
        )


def remembered(data: dict[str, Any]) -> Situation:
    """The situation of an earlier run, from its JSON."""
    known = {key: data[key] for key in Situation.__dataclass_fields__ if key in data}
    # JSON has no tuples.
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
    return Situation(**values)


def inputs(config: Config, situation: Situation) -> dict[str, Any]:
    """Everything that the template reads. behind4, behind6: all sources that ZeroTier's side may have."""
    own6 = str(derive.rfc4193_range(config.network))
    lan6 = sorted({own6, *situation.lan6, *([situation.subnet] if situation.subnet else [])})
    return {
        **asdict(situation),
        "lan6": lan6,
        "behind4": [*situation.lan4, *(net for net in situation.beyond if ":" not in net)],
        "behind6": [*lan6, *(net for net in situation.beyond if ":" in net)],
        "metadata4": METADATA4,
        "metadata6": METADATA6,
        "ssh": config.ssh.source,
        "dns": config.dns is not None,
        "page": config.page,
        "inbound": config.firewall.inbound,
        "allow": [asdict(rule) for rule in config.firewall.allow],
        "source": str(config.ipv4.source or ""),
        "private4": PRIVATE4,
        "private6": PRIVATE6,
        "reach4": [str(net) for net in config.firewall.reach if net.version == 4],
        "reach6": [str(net) for net in config.firewall.reach if net.version == 6],
    }


def ours(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is in our tables, of the items that `nft -j list` shows."""
    return [item for item in items for kind in item.values() if str(kind.get("table", "")).startswith(TABLE)]


def listed(probe: Callable[..., tuple[int, str]]) -> list[dict[str, Any]]:
    """What the kernel has of ours; nothing where nft fails."""
    status, output = probe(LOOK)
    return ours(json.loads(output or "{}").get("nftables", [])) if status == 0 else []


def refused(items: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Packets that were dropped or rejected, by the words for it, of rules as `nft -j list` shows them."""
    totals: dict[str, int] = {}
    for item in items:
        rule = item.get("rule", {})
        parts = [part for part in rule.get("expr", []) if isinstance(part, dict)]
        counted = [part["counter"]["packets"] for part in parts if isinstance(part.get("counter"), dict)]
        if rule.get("comment") and counted and any("drop" in part or "reject" in part for part in parts):
            totals[rule["comment"]] = totals.get(rule["comment"], 0) + sum(map(int, counted))
    return totals


def shown(probe: Callable[..., tuple[int, str]]) -> dict[str, Any]:
    """What a status says of packets that were refused since these rules were loaded; nothing without any."""
    counted = {words: packets for words, packets in refused(listed(probe)).items() if packets}
    return {"refused": counted} if counted else {}


def revision(values: dict[str, Any], template: str = RULES) -> str:
    """Twelve digits that stand for the inputs and the template: comparing them needs no rendering."""
    text = json.dumps(values, sort_keys=True) + _text(template)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def render(values: dict[str, Any]) -> str:
    """The text for `nft -f`. judged: a connection's mark, by which these rules know what they let pass."""
    name = revision(values)
    judged = f"0x{int(name[:8], 16) or 1:08x}"
    return _compiled(RULES).render(values, revision=name, judged=judged)


def fast_path(values: dict[str, Any], owners: dict[int, list[str]]) -> str:
    """The text of what hangs on interfaces. owners: by family, of the sets `owner4` and `owner6`."""
    revised = revision(values, FAST_PATH)
    return _compiled(FAST_PATH).render(values, revision=revised, owners=owners)


def ports(status: dict[str, Any]) -> tuple[int, ...]:
    """ZeroTier's UDP port, from GET /status.

    The secondary one is another one at each start and needs no rule: ZeroTier itself speaks first from it.
    """
    with reading("what ZeroTier's service says of its ports"):
        port = int((status.get("config") or {}).get("settings", {}).get("primaryPort") or DEFAULT_PORT)
    return (port if 0 < port < 65536 else DEFAULT_PORT,)


@cache
def _compiled(template: str) -> jinja2.Template:
    import jinja2  # slow to import, and seldom needed

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_text(template))


@cache
def _text(template: str) -> str:
    return (TEMPLATES / template).read_text(encoding="utf-8")
