"""What a controller would accept and then break: looked for before the first write, all of it named at once.

Where no other source is named, this was seen with zerotier-one 1.14.1 and its controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_interface, ip_network

from . import formats, register
from .controllers.base import Member
from .errors import ZtgateError
from .register import Settings, Target, Want

MTU = range(
    1280, 2801
)  # bytes; ZeroTierOne node/ZeroTierOne.h: ZT_MIN_MTU, ZT_MAX_MTU is 10000, default 2800


DNS_SERVERS = 4  # include/ZeroTierOne.h: ZT_MAX_DNS_SERVERS


@dataclass(frozen=True)
class Case:
    """A network as it is going to be, who we are in it, and what else this machine is connected to.

    around: networks that are reached without ZeroTier's interface, by the interface that leads there.
    """

    settings: Settings
    members: Mapping[str, Member]
    want: Want
    address: IPv4Address
    around: Mapping[Target, str]


Problem = tuple[str, str]


def check(case: Case) -> None:
    """Every rule.

    Raises:
        ZtgateError: one, with a line for each problem.
    """
    found = [problem for rule in RULES for problem in rule(case)]
    if found:
        head = f"network {case.want.network} cannot be taken over as it is:"
        texts = [text for text, _ in found]
        message = f"{head} {texts[0]}" if len(texts) == 1 else "\n- ".join([head, *texts])
        raise ZtgateError(message, found[0][1])


def _targets_without_bits(case: Case) -> Iterator[Problem]:
    """`10.1.0.0` is taken as 10.1.0.0/0: a default route that nobody wanted."""
    for row in _rows(case, "routes"):
        text = str(row.get("target", ""))
        if "/" not in text or (_net(text).prefixlen == 0 and ip_interface(text).ip != _net(text)[0]):
            yield (
                f"the route to {text} has no prefix length, so it is one to everywhere",
                f"write {_bare(text)}/24 or what it is",
            )


def _ranges_with_host_bits(case: Case) -> Iterator[Problem]:
    """Nothing ever matches an IPv6 range that has host bits: members get no address of it."""
    for row in _rows(case, "routes"):
        text = str(row.get("target", ""))
        if ":" in text and not row.get("via") and ip_interface(text).ip != _net(text)[0]:
            yield f"the range {text} has bits behind its prefix", f"write {_net(text)} at the controller"


def _addresses_outside(case: Case) -> Iterator[Problem]:
    """Such an address becomes a /0 beside a default route, and that member's traffic leaves elsewhere."""
    families = {4, 6} if case.want.ipv6 else {4}
    gone = case.want.gone
    for node, text in register.orphans(case.members.values(), case.settings):
        address = ip_address(text)
        ours = gone is not None and address in gone
        if node != case.want.node and address.version in families and not ours:
            yield (
                f"member {node} has the address {text}, which is in none of the network's ranges",
                f"remove {text} from member {node} at the controller",
            )


def _address_taken(case: Case) -> Iterator[Problem]:
    """Nobody stops a controller from giving one address twice."""
    for node, member in case.members.items():
        if node != case.want.node and str(case.address) in member.addresses:
            yield f"{case.address} belongs to member {node}", "name another one as gateway.address"


def _mtu(case: Case) -> Iterator[Problem]:
    mtu = case.settings.get("mtu")
    if mtu is not None and mtu not in MTU:
        yield f"its MTU would be {mtu}", f"gateway.mtu: from {MTU[0]} to {MTU[-1]}"


def _multicast(case: Case) -> Iterator[Problem]:
    """Without multicast there is no ARP (ZeroTier's documentation): members do not find their gateway."""
    if case.settings.get("multicastLimit") == 0:
        yield (
            "its multicast limit is 0, so members cannot find each other over IPv4",
            "set it to 32 at the controller",
        )


def _sixplane(case: Case) -> Iterator[Problem]:
    """A member then has an fc00::/8 source beside the one that is let out, and may take that instead."""
    if case.want.ipv6 and (case.settings.get("v6AssignMode") or {}).get("6plane"):
        yield (
            "it hands out 6PLANE addresses, which do not go with IPv6 through this gateway",
            "switch 6PLANE off at the controller, or set ipv6.mode: off",
        )


def _overlaps(case: Case) -> Iterator[Problem]:
    ranges = [str(row.get("target", "")) for row in _rows(case, "routes") if not row.get("via")]
    return overlapping(ranges, case.around)


def overlapping(ranges: Iterable[str], around: Mapping[Target, str]) -> Iterator[Problem]:
    """Members' packets, or the replies to them, would leave by the wrong interface."""
    for target in map(_net, ranges):
        for other, interface in around.items():
            if target.prefixlen and _overlap(target, other):
                yield (
                    f"its range {target} overlaps {other} on {interface} of this machine",
                    "give one of the two another range",
                )


def dns(domain: str, servers: tuple[str, ...]) -> None:
    """What a controller would write beyond the end of its fields, or leave out.

    Raises:
        ZtgateError: one of the two.
    """
    if not formats.is_domain(domain):
        raise ZtgateError(f"`{domain}` cannot be the network's domain", "set another dns.domain")
    if len(servers) > DNS_SERVERS:
        raise ZtgateError(f"the network takes no more than {DNS_SERVERS} DNS servers", "this is a bug")


RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _targets_without_bits,
    _ranges_with_host_bits,
    _addresses_outside,
    _address_taken,
    _mtu,
    _multicast,
    _sixplane,
    _overlaps,
)


def _rows(case: Case, key: str) -> list[Settings]:
    return [row for row in case.settings.get(key) or [] if isinstance(row, dict)]


def _net(text: str) -> Target:
    return ip_network(text, strict=False)


def _bare(text: str) -> str:
    return text.split("/")[0]


def _overlap(one: Target, other: Target) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    if isinstance(one, IPv6Network) and isinstance(other, IPv6Network):
        # Members' /80 lies in the WAN's /64 on purpose: the longer prefix leads to them.
        return one.overlaps(other) and not one.subnet_of(other)
    return False
