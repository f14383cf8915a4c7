"""Members' names in the DNS: labels of what people called them, each node id, and addresses."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from . import derive, store
from .config import Dns
from .controllers.base import Member
from .machine import Machine
from .zerotier import Network, in_range

# For networks without a domain. home.arpa is set aside for names at home, and delegated without a signature
# (RFC 8375): members that validate by themselves accept the answers.
DOMAIN = "zt.home.arpa"
TTL = 60  # seconds; members come and go
LONGEST = 63  # bytes of a label
Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Host:
    """Somebody with addresses: by node id, and by a label if there is one."""

    node: str
    label: str
    addresses: tuple[Address, ...]

    @property
    def name(self) -> str:
        """The name that the addresses lead back to."""
        return self.label or self.node


def domain(settings: Dns | None) -> str:
    """What members' names are below."""
    return (settings.domain if settings else "") or DOMAIN


def label(name: str) -> str:
    """What is left of a name in lower case letters, digits and dashes; "" when nothing is."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)[:LONGEST].strip("-")


def labels(names: Mapping[str, str], first: str) -> dict[str, str]:
    """Labels by node id. Of equal ones the node `first` has it, then the lowest id; others add their id.

    Nobody is called like another's node id.
    """
    taken = set(names)
    found = {}
    for node in sorted(names, key=lambda node: (node != first, node)):
        own = label(names[node])
        longer = f"{own[: LONGEST - 1 - len(node)]}-{node}"
        found[node] = next((text for text in (own, longer) if own and text not in taken), "")
        taken.add(found[node])
    return found


def remembered(members: Iterable[Member]) -> dict[str, list[str]]:
    """Of members that are let in, what is kept when the controller cannot be asked any more."""
    return {
        member.node: [member.name, *(text for text in member.addresses if _version(text) == 4)]
        for member in members
        if member.settings.get("authorized")
    }


def remember(machine: Machine, members: Iterable[Member]) -> None:
    """Keep what the controller says now for later runs; a file of its own, as it needs no lock."""
    content = json.dumps(remembered(members), indent=1, sort_keys=True).encode()
    if not machine.dry_run and store.read_bytes(machine.paths.members) != content:
        store.write(machine.paths.members, content, 0o600)


def recalled(machine: Machine) -> dict[str, list[str]]:
    """Names and IPv4 addresses by node id, as the controller had them when it was asked last."""
    return store.read_json(machine.paths.members)


def learn(
    before: Mapping[str, str], seen: Iterable[tuple[str, IPv4Address]], lan4: Iterable[IPv4Network]
) -> dict[str, str]:
    """Node ids by IPv4 address: who was seen to have it last. What is in no range any more is forgotten."""
    found = {**before, **{str(address): node for node, address in seen}}
    ranges = list(lan4)
    return {text: found[text] for text in sorted(found) if any(ip_address(text) in net for net in ranges)}


def hosts(
    network: Network,
    node: str,
    name: str,
    members: Mapping[str, list[str]],
    learnt: Mapping[str, str],
    subnet: IPv6Network | None,
) -> list[Host]:
    """Everybody who is known, the gateway first. What the controller said counts before what was seen."""
    own4 = [own.ip for own in network.addresses4 if any(own.ip in net for net in network.lan4)]
    assigned = {text: other for other, (_, *texts) in members.items() for text in texts}
    owners = {text: other for text, other in {**learnt, **assigned}.items() if other != node}
    owners = {text: other for text, other in owners.items() if ip_address(text) not in own4}
    others = sorted({*members, *owners.values()} - {node})
    named = labels({node: name, **{other: members.get(other, [""])[0] for other in others}}, node)
    found = [Host(node, named[node], (*own4, *_own_ipv6(network, node, subnet)))]
    for other in others:
        ipv4 = sorted(ip_address(text) for text, owner in owners.items() if owner == other)
        inside = [address for address in ipv4 if any(address in net for net in network.lan4)]
        found.append(Host(other, named[other], (*inside, *_ipv6(network, node, other, subnet))))
    return [host for host in found if host.addresses]


def _own_ipv6(network: Network, node: str, subnet: IPv6Network | None) -> Iterator[IPv6Address]:
    """The gateway's own: the one that does not change with the WAN, if it has that."""
    own = [address.ip for address in network.addresses6 if address.ip == derive.rfc4193(network.id, node)]
    yield from own or [address.ip for address in (in_range(network, subnet) if subnet else ())][:1]


def _ipv6(network: Network, node: str, other: str, subnet: IPv6Network | None) -> Iterator[IPv6Address]:
    """The address that a member can be expected to have."""
    if subnet:
        yield derive.member_address(subnet, other)
    elif any(own.ip == derive.rfc4193(network.id, node) for own in network.addresses6):
        yield derive.rfc4193(network.id, other)


def records(found: Iterable[Host], domain: str) -> Iterator[tuple[str, str]]:
    """(name, record data) of every host, with A, AAAA and PTR; names end with a dot."""
    for host in found:
        for address in host.addresses:
            kind = "A" if address.version == 4 else "AAAA"
            for text in dict.fromkeys((host.name, host.node)):
                yield f"{text}.{domain}.", f"{kind} {address}"
            yield f"{address.reverse_pointer}.", f"PTR {host.name}.{domain}."


def _version(text: str) -> int:
    return ip_address(text).version
