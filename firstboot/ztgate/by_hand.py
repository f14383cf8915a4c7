"""What people have to do at a controller whose API this gateway may not ask (controller.kind: none). Pure.

All that a member sees of its network is its own addresses and the routes: pools, switches and other members
are the controller's secret. So a command looks before it writes, and is given only for what is seen missing.
The names of lists and switches are those of ZeroTier Central's page of a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from . import derive
from .register import DEFAULT4, DEFAULT6, Target
from .zerotier import Network, in_range

# For a controller's own machine: ask() keeps the token out of the list of processes, and edit() writes
# nothing if it could not read (the controller would make a network or member that is not there).
FUNCTIONS = (
    "N=http://127.0.0.1:9993/controller/network/{network}",
    "ask() {{ sudo sed 's/^/X-ZT1-Auth: /' /var/lib/zerotier-one/authtoken.secret"
    ' | curl -sSf -H @- "$@"; }}',
    'edit() {{ new=$(ask "$N$1" | jq -c "$2"); [ "$new" ] && ask -o /dev/null -d "$new" "$N$1"; }}',
)


@dataclass(frozen=True)
class Want:
    """What the gateway wants to be. address: None for any; wan: the IPv4 network that it must keep clear of.

    subnet: members' /80, or None; old_subnet: theirs from before; nat66: they send from RFC 4193 addresses.
    insist6: without IPv6 it is not ready.
    works6: False once IPv6 was tried and does not work, so that nobody is sent here over it.
    domain: of the network's DNS setting, or ""; takeover: somebody else's is replaced.
    """

    network: str
    node: str
    address: IPv4Address | None
    wan: IPv4Network
    subnet: IPv6Network | None = None
    old_subnet: IPv6Network | None = None
    nat66: bool = False
    insist6: bool = False
    works6: bool = True
    domain: str = ""
    takeover: bool = False

    @property
    def rfc4193(self) -> IPv6Address:
        """The next hop of ::/0."""
        return derive.rfc4193(self.network, self.node)


@dataclass(frozen=True)
class Item:
    """Something to do: in a few words, in a sentence, and as a call of FUNCTIONS ("" if it cannot be one).

    needed: without it the gateway is not ready. builder: a command that does it from the user's computer.
    """

    short: str
    words: str
    command: str = ""
    needed: bool = True
    builder: str = ""


def missing(want: Want, seen: Network | None) -> tuple[Item, ...]:
    """Everything that is still to do, in the order in which it is best done."""
    member = seen if seen is not None and seen.status == "OK" else None
    builder = _from_a_computer(want)
    return tuple(replace(item, builder=builder) for rule in RULES for item in rule(want, member))


def address(want: Want, seen: Network) -> IPv4Address | None:
    """The gateway's address: the one that it asks for, that members are sent to, or any inside a range.

    It may have two: a controller with a pool gives it one at once, before somebody gives it another.
    """
    own = [own.ip for own in seen.addresses4 if _inside(own.ip, seen)]
    if want.address:
        return want.address if want.address in own else None
    used = _vias(seen, DEFAULT4)
    return min(own, key=lambda ip: str(ip) not in used, default=None)


def has_subnet(want: Want, seen: Network) -> bool:
    """Whether members' /80 is one of the network's ranges, and this gateway has an address of it."""
    return want.subnet is not None and _has_range(seen, want.subnet) and bool(in_range(seen, want.subnet))


def has_rfc4193(want: Want, seen: Network) -> bool:
    """Whether this gateway has the address that ::/0 goes through."""
    return any(own.ip == want.rfc4193 for own in seen.addresses6)


def default_routes(want: Want, seen: Network) -> tuple[str, ...]:
    """The network's default routes that lead to this gateway."""
    own = {str(address(want, seen) or ""), str(want.rfc4193)}
    found = {target: via for target in (DEFAULT4, DEFAULT6) for via in _vias(seen, target) if via in own}
    return tuple(f"{target} via {via}" for target, via in found.items())


def commands(network: str, items: tuple[Item, ...]) -> tuple[str, ...]:
    """A shell's lines for a self-hosted controller; () if there is nothing for it to do."""
    calls = [item.command for item in items if item.command]
    return (*(line.format(network=network) for line in FUNCTIONS), *calls) if calls else ()


def to_withdraw(want: Want, seen: Network | None) -> tuple[Item, ...]:
    """What to remove, default routes first: a member's address that lost its range would become a /0."""
    routes = default_routes(want, seen) if seen else ()
    found = [_without_route(ip_network(text.split(" ")[0]), text.split(" ")[-1], True) for text in routes]
    if seen and _is_ours(want, seen):
        found.append(_without_dns(seen.dns[0], needed=True))
    if seen and want.old_subnet and _has_range(seen, want.old_subnet):
        found.append(_without_range(want.old_subnet))
    words = f"Members: deauthorize {want.node}, then delete it"
    found.append(Item(f"delete member {want.node}", words, needed=False))
    return tuple(found)


def _from_a_computer(want: Want) -> str:
    prefix = want.subnet.supernet(new_prefix=64) if want.subnet and want.works6 else None
    command = f"./build.py preauthorize --config gateway.yaml --node {want.node}"
    return f"{command} --ipv6 {prefix}" if prefix else command


def _authorize(want: Want, seen: Network | None) -> Iterator[Item]:
    if seen is None:
        short = f"authorize node {want.node} in network {want.network} at its controller"
        # It need not have asked before, and this makes no network.
        command = f"ask -o /dev/null -d '{{\"authorized\": true}}' $N/member/{want.node}"
        yield Item(short, f"Members: authorize {want.node}", command)


def _range(want: Want, seen: Network | None) -> Iterator[Item]:
    if seen and not seen.lan4:
        lan = _lan(want, seen)
        first, last = lan[10], lan[250]
        words = f"Managed Routes: add {lan} without Via. IPv4 Auto-Assign: on, from {first} to {last}"
        pool = json.dumps({"ipRangeStart": str(first), "ipRangeEnd": str(last)})
        changes = (
            f"{_plus_route(lan, None)}, v4AssignMode: (.v4AssignMode + {{zt: true}}), "
            f"ipAssignmentPools: (.ipAssignmentPools - [{pool}] + [{pool}])"
        )
        yield Item(f"add the range {lan}", words, f"edit '' '{{{changes}}}'")


def _address(want: Want, seen: Network | None) -> Iterator[Item]:
    if seen is None:
        which = str(want.address or "one inside the network's range that nobody has")
        yield Item(f"give {want.node} an IPv4 address", f"Members: give {want.node} one address, {which}")
        return
    own, stray = address(want, seen), [own.ip for own in seen.addresses4 if not _inside(own.ip, seen)]
    lan = _lan(want, seen)
    keep = '[.ipAssignments[] | select(contains(":"))]'
    if own and stray:
        words = f"Members: remove {stray[0]} from {want.node}: no range of the network has it"
        command = f"edit /member/{want.node} '{{ipAssignments: ({keep} + [\"{own}\"])}}'"
        yield Item(f"remove the address {stray[0]} from {want.node}", words, command)
    elif own is None:
        proposal = want.address or lan[1 if lan.prefixlen < 31 else 0]
        which = str(proposal) if want.address else f"{proposal}, or another of {lan} if a member has that"
        words = f"Members: give {want.node} one address, {which}; remove other IPv4 addresses from it"
        command = f"edit /member/{want.node} '{{ipAssignments: ({keep} + [\"{proposal}\"])}}'"
        yield Item(f"give {want.node} the address {proposal}", words, command)


def _default4(want: Want, seen: Network | None) -> Iterator[Item]:
    via = str(address(want, seen) or "") if seen else ""
    yield from _default(DEFAULT4, via, seen, needed=True)


def _range6(want: Want, seen: Network | None) -> Iterator[Item]:
    subnet = want.subnet
    if subnet and not (seen and _has_range(seen, subnet)):
        words = f"Managed Routes: add {subnet} without Via"
        command = f"edit '' '{{{_plus_route(subnet, None)}}}'" if seen else ""
        yield Item(f"add the range {subnet}", words, command, want.insist6)


def _assignment6(want: Want, seen: Network | None) -> Iterator[Item]:
    subnet = want.subnet
    if subnet is None:
        yield from _rfc4193(want, seen)
        return
    if seen and has_rfc4193(want, seen) and in_range(seen, subnet):
        return
    words = (
        f"IPv6 Auto-Assign: RFC4193 on, and Auto-Assign from Range on, from {subnet[0]} to {subnet[-1]}; "
        "6PLANE off (and for this member, Do Not Auto-Assign IPs off)"
    )
    pool = json.dumps({"ipRangeStart": str(subnet[0]), "ipRangeEnd": str(subnet[-1])})
    changes = (
        'v6AssignMode: (.v6AssignMode + {rfc4193: true, zt: true, "6plane": false}), '
        f"ipAssignmentPools: (.ipAssignmentPools - [{pool}] + [{pool}])"
    )
    command = f"edit '' '{{{changes}}}'" if seen else ""
    yield Item(f"have addresses of {subnet} assigned", words, command, want.insist6)


def _rfc4193(want: Want, seen: Network | None) -> Iterator[Item]:
    """All that NAT66 takes."""
    if want.nat66 and not (seen and has_rfc4193(want, seen)):
        words = "IPv6 Auto-Assign: RFC4193 on (and for this member, Do Not Auto-Assign IPs off)"
        command = "edit '' '{v6AssignMode: (.v6AssignMode + {rfc4193: true})}'" if seen else ""
        yield Item("have RFC 4193 addresses assigned", words, command, want.insist6)


def _default6(want: Want, seen: Network | None) -> Iterator[Item]:
    if (want.subnet or want.nat66) and want.works6:
        yield from _default(DEFAULT6, str(want.rfc4193), seen, needed=want.insist6)


def _old_range(want: Want, seen: Network | None) -> Iterator[Item]:
    """Last of all: members have addresses of the new one by then."""
    old = want.old_subnet
    if seen and want.subnet and old and old != want.subnet and _has_range(seen, old):
        yield _without_range(old)


def _dns(want: Want, seen: Network | None) -> Iterator[Item]:
    """Who sees to members' names. A gateway works without, so nothing waits for it."""
    domain, servers = seen.dns if seen else ("", ())
    ours = seen is not None and _is_ours(want, seen)
    if ours and not want.domain:
        yield _without_dns(domain)
    if not want.domain or (servers and not ours and not want.takeover):
        return
    own = str(address(want, seen) or "") if seen else ""
    wanted = [own or "that address", *([str(want.rfc4193)] if want.subnet or want.nat66 else [])]
    if (domain, list(servers)) != (want.domain, wanted):
        words = f"DNS: Search Domain {want.domain}, Server Address {' and '.join(wanted)}"
        setting = f'{{dns: {{domain: "{want.domain}", servers: {json.dumps(wanted)}}}}}'
        short = f"have names of {want.domain} looked up here"
        yield Item(short, words, f"edit '' '{setting}'" if own else "", needed=False)


RULES: tuple[Callable[[Want, Network | None], Iterator[Item]], ...] = (
    _authorize,
    _range,
    _address,
    _default4,
    _range6,
    _assignment6,
    _default6,
    _dns,
    _old_range,
)


def _default(target: Target, via: str, seen: Network | None, *, needed: bool) -> Iterator[Item]:
    """A default route to here. One that leads elsewhere goes first: members would keep its next hop."""
    present = _vias(seen, target) if seen else []
    if via and via in present:
        return
    if present:
        yield _without_route(target, present[0], needed)
        return
    short = f"add the route {target} via {via or 'that address'}"
    command = f"edit '' '{{{_plus_route(target, via)}}}'" if seen and via else ""
    yield Item(short, f"Managed Routes: add {target} via {via or 'that address'}", command, needed)


def _without_route(target: Target, via: str, needed: bool) -> Item:
    words = (
        f"Managed Routes: delete {target} via {via}. Add another one no sooner than half a minute later: "
        "members on Linux that see both changes at once keep the old one"
    )
    command = f"edit '' '{{routes: [.routes[] | select(.target != \"{target}\")]}}'"
    return Item(f"delete the route {target} via {via}", words, command, needed)


def _is_ours(want: Want, seen: Network) -> bool:
    """Whether the network's DNS setting leads to addresses of this gateway, and to no others."""
    ipv4, ipv6 = ({str(each.ip) for each in seen.addresses4}, {str(each.ip) for each in seen.addresses6})
    own = ipv4 | ipv6 | {str(want.rfc4193)}
    return bool(seen.dns[1]) and {str(ip_address(text)) for text in seen.dns[1]} <= own


def _without_dns(domain: str, *, needed: bool = False) -> Item:
    command = "edit '' '{dns: {domain: \"\", servers: []}}'"
    words = f"DNS: remove the Search Domain {domain} and its Server Addresses"
    return Item(f"stop names of {domain} from being looked up here", words, command, needed)


def _without_range(old: IPv6Network) -> Item:
    words = (
        f"Members: remove the addresses of {old} from each. IPv6 Auto-Assign: delete the range that begins "
        f"with {old[0]}. Managed Routes: then delete {old}"
    )
    return Item(f"remove the range {old}", words, needed=False)


def _plus_route(target: Target, via: str | None) -> str:
    return f"routes: (.routes + [{json.dumps({'target': str(target), 'via': via})}])"


def _vias(seen: Network, target: Target) -> list[str]:
    """Next hops of the routes to a target, as Python writes them."""
    return [
        str(ip_address(via)) for text, via in seen.routes if via and ip_network(text, strict=False) == target
    ]


def _has_range(seen: Network, subnet: IPv6Network) -> bool:
    return any(not via and ip_network(text, strict=False) == subnet for text, via in seen.routes)


def _inside(own: IPv4Address, seen: Network) -> bool:
    """One outside every range becomes a /0 beside a default route."""
    return any(own in net for net in seen.lan4)


def _lan(want: Want, seen: Network) -> IPv4Network:
    """The range to take an address from: that of gateway.address, or the network's first, or a new one."""
    if not seen.lan4 and want.address:
        return IPv4Network(f"{want.address}/24", strict=False)
    if not seen.lan4:
        return derive.lan(want.network, [want.wan])
    return next((net for net in seen.lan4 if want.address and want.address in net), seen.lan4[0])
