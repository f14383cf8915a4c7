"""The run-time firewall: what it depends on, and its text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Config
from .errors import reading
from .facts.wan import Wan
from .formats import PRIVATE4, PRIVATE6
from .members_subnet import NAT66, Choice
from .zerotier import DEFAULT_PORT, Network

if TYPE_CHECKING:
    import jinja2

TEMPLATE = Path(__file__).parent / "templates/nftables.j2"


@dataclass(frozen=True)
class Situation:
    """What the machine contributes; empty as long as it is not known. ports: UDP, of ZeroTier.

    subnet: what members' IPv6 comes from; with nat66 it leaves with the WAN's address.
    """

    zt: str = ""
    wan: str = ""
    wan6: str = ""
    lan4: tuple[str, ...] = ()
    subnet: str = ""
    nat66: bool = False
    ports: tuple[int, ...] = (DEFAULT_PORT,)

    def with_wan(self, wan: Wan) -> Situation:
        """The same with the WAN that is there now."""
        return replace(self, wan=wan.interface, wan6=wan.interface6 or wan.interface)

    def with_network(self, network: Network, ipv6: Choice, ports: tuple[int, ...]) -> Situation:
        """The same with the joined network and the way out that its members' IPv6 has."""
        lan4 = tuple(sorted(str(net) for net in network.lan4))
        return replace(
            self,
            zt=network.interface,
            lan4=lan4,
            subnet=str(ipv6.range or ""),
            nat66=ipv6.way == NAT66,
            ports=ports,
        )


def remembered(data: dict[str, Any]) -> Situation:
    """The situation of an earlier run, from its JSON."""
    known = {key: data[key] for key in Situation.__dataclass_fields__ if key in data}
    # JSON has no tuples.
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
    return Situation(**values)


def inputs(config: Config, situation: Situation) -> dict[str, Any]:
    """Everything that the template reads."""
    return {
        **asdict(situation),
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


def revision(values: dict[str, Any]) -> str:
    """Twelve digits that stand for the inputs and the template: comparing them needs no rendering."""
    text = json.dumps(values, sort_keys=True) + _template()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def render(values: dict[str, Any]) -> str:
    """The text for `nft -f`."""
    return _compiled().render(values, revision=revision(values))


def ports(status: dict[str, Any]) -> tuple[int, ...]:
    """ZeroTier's UDP port, from GET /status.

    The secondary one is another one at each start and needs no rule: ZeroTier itself speaks first from it.
    """
    with reading("what ZeroTier's service says of its ports"):
        port = int((status.get("config") or {}).get("settings", {}).get("primaryPort") or DEFAULT_PORT)
    return (port if 0 < port < 65536 else DEFAULT_PORT,)


@cache
def _compiled() -> jinja2.Template:
    import jinja2  # slow to import, and seldom needed

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_template())


@cache
def _template() -> str:
    return TEMPLATE.read_text(encoding="utf-8")
