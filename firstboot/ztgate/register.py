"""What a network at the controller has to become: pure functions of what it is.

Everything that is there and not ours is kept. `routes` and pools are written whole, with the rows that were
there as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from . import derive
from .controllers.base import Member
from .errors import ZtgateError

Settings = dict[str, Any]
Target = IPv4Network | IPv6Network
DEFAULT4 = IPv4Network("0.0.0.0/0")
DEFAULT6 = IPv6Network("::/0")
# How much of a LAN range is searched for a free address.
SEARCHED_HOSTS = 65536


@dataclass(frozen=True)
class Want:
    """What the gateway wants to be. subnet: members' /80 or None; old_subnet: ours from before.

    nat66: members send IPv6 from their RFC 4193 addresses.
    """

    network: str
    node: str
    name: str
    address: IPv4Address | None
    mtu: int
    subnet: IPv6Network | None = None
    old_subnet: IPv6Network | None = None
    nat66: bool = False

    @property
    def ipv6(self) -> bool:
        """Whether members are to send IPv6 here."""
        return self.nat66 or self.subnet is not None

    @property
    def gone(self) -> IPv6Network | None:
        """Our /80 from before, if it is no longer wanted."""
        return None if self.old_subnet == self.subnet else self.old_subnet

    @property
    def rfc4193(self) -> IPv6Address:
        """The gateway's own RFC 4193 address: the next hop of ::/0."""
        return derive.rfc4193(self.network, self.node)


def lans(settings: Settings) -> list[IPv4Network]:
    """The network's own IPv4 ranges, in its order."""
    found = (_target(row) for row in _rows(settings, "routes") if not row.get("via"))
    return [net for net in found if isinstance(net, IPv4Network) and net.prefixlen > 0]


def plan_ranges(settings: Settings, want: Want, avoid: IPv4Network) -> Settings:
    """Changes for addresses and MTU: an IPv4 range if there is none, and members' /80."""
    routes = _rows(settings, "routes")
    pools = _rows(settings, "ipAssignmentPools")
    changes: Settings = {}
    if not lans(settings):
        taken = [net for net in map(_target, routes) if isinstance(net, IPv4Network) and net.prefixlen > 0]
        lan = derive.lan(want.network, [avoid, *taken])
        routes = [*routes, {"target": str(lan), "via": None}]
        pools = [*pools, {"ipRangeStart": str(lan[10]), "ipRangeEnd": str(lan[250])}]
        changes["v4AssignMode"] = {**(settings.get("v4AssignMode") or {}), "zt": True}
    if want.gone:
        pools = [row for row in pools if not _pool_in(row, want.gone)]
    if want.subnet:
        if not any(_target(row) == want.subnet and not row.get("via") for row in routes):
            routes = [*routes, {"target": str(want.subnet), "via": None}]
        if not any(_pool_in(row, want.subnet) for row in pools):
            pool = {"ipRangeStart": str(want.subnet[0]), "ipRangeEnd": str(want.subnet[-1])}
            pools = [*pools, pool]
    changes |= _assign_modes(settings, want)
    if routes != _rows(settings, "routes"):
        changes["routes"] = routes
    if pools != _rows(settings, "ipAssignmentPools"):
        changes["ipAssignmentPools"] = pools
    if settings.get("mtu") != want.mtu:
        changes["mtu"] = want.mtu
    return changes


def _assign_modes(settings: Settings, want: Want) -> Settings:
    """Who gives members IPv6 addresses. ::/0 goes via an RFC 4193 address; only a /80 has a pool."""
    modes = settings.get("v6AssignMode") or {}
    needed = [*(["rfc4193"] if want.ipv6 else []), *(["zt"] if want.subnet else [])]
    if all(modes.get(key) for key in needed):
        return {}
    # The object is replaced whole, so 6plane goes with it.
    return {"v6AssignMode": {"6plane": False, **modes, **dict.fromkeys(needed, True)}}


def choose_address(settings: Settings, want: Want, members: dict[str, Member]) -> IPv4Address:
    """The gateway's IPv4 address: as configured, as it has it, or the first free one."""
    ranges = lans(settings)
    used = {address: node for node, m in members.items() for address in m.addresses if node != want.node}
    if want.address:
        check_address(want.address, ranges, used)
        return want.address
    own = members.get(want.node)
    for text in own.addresses if own else ():
        address = ip_address(text)
        if isinstance(address, IPv4Address) and any(address in net for net in ranges):
            return address
    pools = [_pool_ends(row) for row in _rows(settings, "ipAssignmentPools")]
    for outside_pools in (True, False):
        for net in ranges:
            for host in _hosts(net, pools if outside_pools else []):
                if str(host) not in used:
                    return host
    raise ZtgateError("the network has no free IPv4 address", "name one as gateway.address")


def check_address(address: IPv4Address, ranges: list[IPv4Network], used: dict[str, str]) -> None:
    """Whether a gateway.address can be the gateway's; used: members by their addresses."""
    inside = [net for net in ranges if address in net]
    if not inside:
        raise ZtgateError(
            f"gateway.address {address} is outside the network's ranges ({', '.join(map(str, ranges))})",
            "take an address inside one of them, or `auto`",
        )
    if any(address in (net[0], net[-1]) for net in inside if net.prefixlen < 31):
        raise ZtgateError(
            f"gateway.address {address} is the first or the last of {inside[0]}", "take one between them"
        )
    if str(address) in used:
        raise ZtgateError(
            f"gateway.address {address} belongs to member {used[str(address)]}", "take another one, or `auto`"
        )


def _hosts(net: IPv4Network, pools: list[tuple[int, int]]) -> Iterator[IPv4Address]:
    number = int(net[0]) + (1 if net.prefixlen < 31 else 0)
    last = int(net[-1]) - (1 if net.prefixlen < 31 else 0)
    for _ in range(SEARCHED_HOSTS):
        for start, end in sorted(pools):
            if start <= number <= end:
                number = end + 1
        if number > last:
            return
        yield IPv4Address(number)
        number += 1


def plan_member(member: Member | None, want: Want, address: IPv4Address) -> Settings:
    """Changes that make the gateway an authorized member with its address."""
    settings = member.settings if member else {}
    changes: Settings = {}
    if not settings.get("authorized"):
        changes["authorized"] = True
    current = [str(text) for text in settings.get("ipAssignments") or []]
    assignments = [*(text for text in current if _keeps(text, want)), str(address)]
    if {_bare(text) for text in current} != {_bare(text) for text in assignments}:
        changes["ipAssignments"] = assignments
    if settings.get("noAutoAssignIps"):
        # It would take the RFC 4193 address away, which ::/0 goes through.
        changes["noAutoAssignIps"] = False
    if (member.name if member else "") != want.name:
        changes["name"] = want.name
    return changes


def _keeps(text: str, want: Want) -> bool:
    """Own IPv6 addresses stay. IPv4 ones are replaced: outside every range they would become a /0."""
    address = ip_address(_bare(text))
    if isinstance(address, IPv4Address):
        return False
    return not (want.gone and address in want.gone)


def _bare(text: str) -> str:
    """An assignment without its prefix length."""
    return text.split("/")[0]


def plan_renumbering(members: Iterable[Member], want: Want) -> dict[str, Settings]:
    """Members that still have an address of our old /80: without its route that address would become a /0."""
    old = want.gone
    if old is None:
        return {}
    plans = {}
    for member in members:
        texts = member.settings.get("ipAssignments") or []
        kept = [text for text in texts if ip_address(_bare(text)) not in old]
        if kept != texts and member.node != want.node:
            plans[member.node] = {"ipAssignments": kept}
    return plans


def plan_cleanup(settings: Settings, want: Want) -> Settings:
    """Remove the route of a /80 that is gone: last of all.

    An address that has lost its range becomes a /0 as long as ::/0 is there, and ZeroTier 1.14.1 leaves that
    in the kernel for good, the gateway's included: an on-link default route into the tunnel.
    """
    routes = _rows(settings, "routes")
    kept = [row for row in routes if row.get("via") or _target(row) != want.gone]
    return {"routes": kept} if kept != routes else {}


def orphans(members: Iterable[Member], settings: Settings) -> list[tuple[str, str]]:
    """(node, address) of members' addresses that no range holds: a default route turns them into a /0."""
    targets = [_target(row) for row in _rows(settings, "routes")]
    ranges = [net for net in targets if net.prefixlen > 0]
    found = []
    for member in members:
        for text in member.addresses:
            address = ip_address(text)
            if not any(address.version == net.version and address in net for net in ranges):
                found.append((member.node, text))
    return found


def foreign_defaults(settings: Settings, ours: Iterable[str]) -> list[tuple[Target, str]]:
    """Default routes that go through somebody else."""
    own = {ip_address(text) for text in ours if text}
    rows = [(_target(row), str(row.get("via") or "")) for row in _rows(settings, "routes")]
    return [(net, via) for net, via in rows if net.prefixlen == 0 and via and ip_address(via) not in own]


def has_route(settings: Settings, target: Target) -> bool:
    """Whether the network has a route to this target, through whomever."""
    return any(_target(row) == target for row in _rows(settings, "routes"))


def plan_withdrawal(settings: Settings, vias: dict[Target, str]) -> Settings:
    """Remove default routes whose next hop has to change.

    It is never edited in place: members on Linux keep the old next hop in their kernels for good when target
    and device stay the same (ZeroTierOne #2339).
    """
    routes = _rows(settings, "routes")
    kept = [row for row in routes if not _other_via(row, vias)]
    return {"routes": kept} if kept != routes else {}


def plan_default_routes(settings: Settings, vias: dict[Target, str]) -> Settings:
    """Add the default routes that are missing."""
    routes = _rows(settings, "routes")
    present = {_target(row) for row in routes}
    missing = [{"target": str(net), "via": via} for net, via in vias.items() if net not in present]
    return {"routes": [*routes, *missing]} if missing else {}


def _other_via(row: Settings, vias: dict[Target, str]) -> bool:
    wanted = vias.get(_target(row))
    if wanted is None:
        return False
    via = row.get("via")
    # "" withdraws the route altogether.
    return not wanted or not via or ip_address(via) != ip_address(wanted)


def foreign_dns(settings: Settings, ours: Iterable[str]) -> str:
    """The network's DNS setting in words, if somebody else made it; "" without one, and for ours."""
    domain, servers = _dns(settings)
    own = {_server(text) for text in ours if text}
    if not (domain or servers) or (servers and set(servers) <= own):
        return ""
    return f"{domain or 'no domain'} by {', '.join(servers) or 'no server'}"


def plan_dns(settings: Settings, wanted: Settings | None, ours: Iterable[str], before: Settings) -> Settings:
    """Point members at our resolver, or (without `wanted`) bring back what was there before ours.

    ours: every address that the gateway has or had; before: from the ledger.
    """
    ours = tuple(ours)
    if wanted is None:
        mine = _dns(settings) != ("", []) and not foreign_dns(settings, ours)
        return {"dns": before} if mine and _dns({"dns": before}) != _dns(settings) else {}
    return {} if _dns(settings) == _dns({"dns": wanted}) else {"dns": wanted}


def _dns(settings: Settings) -> tuple[str, list[str]]:
    found = settings.get("dns") or {}
    return str(found.get("domain") or ""), [_server(text) for text in found.get("servers") or []]


def _server(text: str) -> str:
    """An address in one spelling; what somebody else wrote need not be one."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def not_taken_over(changes: Settings, settings: Settings) -> list[str]:
    """The keys of a write that do not read back as written."""
    return [key for key, value in changes.items() if not _same(key, value, settings.get(key))]


def _same(key: str, wanted: Any, found: Any) -> bool:
    if key == "routes":
        return _route_set(wanted) == _route_set(found or [])
    if key == "ipAssignmentPools":
        return {_pool_ends(row) for row in wanted} == {_pool_ends(row) for row in found or []}
    if isinstance(wanted, dict):
        return all(((found or {}).get(k) or None) == (v or None) for k, v in wanted.items())
    if key == "ipAssignments":
        # The controller may have added some by itself.
        return {_bare(text) for text in wanted} <= {_bare(str(text)) for text in found or []}
    return bool(wanted == found)


def _route_set(rows: list[Settings]) -> set[tuple[Target, str]]:
    return {(_target(row), str(ip_address(row["via"])) if row.get("via") else "") for row in rows}


def _rows(settings: Settings, key: str) -> list[Settings]:
    return [row for row in settings.get(key) or [] if isinstance(row, dict)]


def _target(row: Settings) -> Target:
    return ip_network(row["target"], strict=False)


def _pool_ends(row: Settings) -> tuple[int, int]:
    return int(ip_address(row["ipRangeStart"])), int(ip_address(row["ipRangeEnd"]))


def _pool_in(row: Settings, subnet: IPv6Network) -> bool:
    start, end = ip_address(row["ipRangeStart"]), ip_address(row["ipRangeEnd"])
    return start in subnet and end in subnet
