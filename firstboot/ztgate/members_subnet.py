"""How members' IPv6 leaves, and which addresses they have for it: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from . import derive
from .config import IPv6
from .errors import ZtgateError
from .facts.ipv6_probe import DOWN, FILTERED, ON_LINK, ROUTED
from .facts.wan import Wan

NAT66, NONE = "nat66", "none"
# Modes in which not having IPv6 is a failure.
INSISTING = ("ndp-proxy", "routed", NAT66)


@dataclass(frozen=True)
class Choice:
    """way: on-link, routed, nat66 or none. range: what members send from. found: what is so, in words."""

    way: str
    range: IPv6Network | None = None
    found: str = ""

    @property
    def subnet(self) -> IPv6Network | None:
        """The /80 that the controller has to give addresses of; None when there is none."""
        return None if self.way == NAT66 else self.range


def none(reason: str) -> Choice:
    """No IPv6 through this gateway."""
    return Choice(NONE, None, reason)


def fixed(settings: IPv6, wan: Wan, network: str) -> Choice | None:
    """The choice where no prefix matters; None where it depends on one."""
    if settings.mode == "off":
        return none("switched off in gateway.yaml")
    if not wan.interface6:
        return none("the WAN has no IPv6 default route")
    if settings.mode != NAT66:
        return None
    if not wan.addresses6:
        return none(f"{wan.interface6} has no global IPv6 address")
    shared = f"members share the WAN's address {wan.addresses6[0]} (NAT66)"
    return Choice(NAT66, derive.rfc4193_range(network), shared)


def prefixes(settings: IPv6, wan: Wan, registered: IPv6Network | None) -> tuple[IPv6Network, ...]:
    """Where members' /80 may come from, the best first. Members who have addresses keep them if possible."""
    if settings.mode == "ndp-proxy":
        return tuple(net for net in wan.prefixes if settings.prefix in (None, net))
    if settings.prefix:
        return (settings.prefix,)
    found = (*wan.delegated, *wan.prefixes)
    return tuple(sorted(found, key=lambda net: registered is None or not registered.subnet_of(net)))


def told(settings: IPv6) -> str | None:
    """How the prefix reaches us, where gateway.yaml leaves no doubt; None where it has to be probed."""
    if settings.mode == "ndp-proxy":
        return ON_LINK
    return ROUTED if settings.mode == "routed" and settings.prefix else None


def accepted(settings: IPv6) -> tuple[str, ...]:
    """The verdicts on a prefix that make it one to use."""
    return (ROUTED,) if settings.mode == "routed" else (ON_LINK, ROUTED)


def subnet_of(settings: IPv6, wan: Wan, prefix: IPv6Network) -> IPv6Network:
    """Members' /80 of a prefix.

    Raises:
        ZtgateError: the gateway's own address is in it.
    """
    subnet = derive.subnet_of(prefix, settings.subnet)
    for address in wan.addresses6:
        if address in subnet:
            raise ZtgateError(
                f"ipv6.subnet: {subnet} holds the gateway's own address {address}", "take another subnet"
            )
    return subnet


def choose(
    settings: IPv6, wan: Wan, candidates: tuple[IPv6Network, ...], verdicts: Mapping[IPv6Network, str]
) -> Choice:
    """The first prefix that works; otherwise why the first one does not."""
    if not candidates:
        return none(_why_no_prefix(settings, wan))
    for prefix in candidates:
        way = verdicts.get(prefix)
        if way and way in accepted(settings):
            return Choice(way, subnet_of(settings, wan, prefix), _found(settings, wan, prefix, way))
    return none(_why_not(candidates[0], verdicts.get(candidates[0], DOWN)))


def _found(settings: IPv6, wan: Wan, prefix: IPv6Network, way: str) -> str:
    what = f"the /{prefix.prefixlen} {prefix}"
    source = " (ipv6.mode says so)" if told(settings) else ""
    if way == ON_LINK:
        return f"{what} is on-link: neighbours are answered for{source}"
    delegated = "was delegated to this gateway by DHCPv6 and " if prefix in wan.delegated else ""
    return f"{what} {delegated}is routed here{source}"


def _why_no_prefix(settings: IPv6, wan: Wan) -> str:
    if settings.prefix:
        return f"the WAN does not have ipv6.prefix {settings.prefix}"
    reason = f"{wan.interface6} has no global IPv6 /64"
    return f"{reason}; ipv6.mode: nat66 would do with {wan.addresses6[0]}" if wan.addresses6 else reason


def _why_not(prefix: IPv6Network, verdict: str) -> str:
    if verdict == ON_LINK:
        return f"{prefix} is on-link and not routed here; ipv6.mode: auto would use it all the same"
    if verdict == FILTERED:
        return (
            f"answers from the internet reach the WAN's own IPv6 address and no other one of {prefix}; "
            "ipv6.mode: nat66 would do with that one"
        )
    return f"nobody on the IPv6 internet answers to addresses of {prefix}"
