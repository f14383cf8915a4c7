"""Unbound's configuration for members' resolver. Pure; every value has been checked where it came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from .names import TTL
from .paths import Paths

ROOT_ANCHOR = "/var/lib/ztgate-dns/root.key"  # kept up to date by Unbound itself (RFC 5011)
# Sizes are for a machine with 512 MB. After 1.8 s without an answer from outside, an expired one is given
# (RFC 8767): so names go on resolving while the WAN is away. Servers that were silent are asked all the same.
_SETTINGS = """\
# Written by ztgate; replaced as a whole, never edited.
server:
    directory: ""
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    verbosity: 0
    ip-freebind: yes
{interfaces}
    num-threads: 1
    msg-cache-slabs: 1
    rrset-cache-slabs: 1
    key-cache-slabs: 1
    infra-cache-slabs: 1
    msg-cache-size: 4m
    rrset-cache-size: 8m
    key-cache-size: 1m
    neg-cache-size: 512k
    outgoing-range: 512
    num-queries-per-thread: 256
    module-config: "validator iterator"
{anchors}
    hide-identity: yes
    hide-version: yes
    ede: yes
    prefetch: yes
    serve-expired: yes
    serve-expired-ttl: 86400
    serve-expired-client-timeout: 1800
    infra-keep-probing: yes
{forward}
remote-control:
    control-enable: yes
    control-interface: "{control}"
    control-use-cert: no

include: "{names}"
"""


def settings(
    paths: Paths,
    listen: Iterable[str],
    allowed: Iterable[str],
    forward: Iterable[str],
    anchors: Iterable[tuple[str, str]],
) -> str:
    """All but members' names: a change of it needs a new start."""
    interfaces = [f"interface: {own}" for own in listen]
    interfaces += [f"access-control: {net} allow" for net in allowed]
    upstream = [f"    forward-addr: {address}" for address in forward]
    if upstream:
        upstream = ["", "forward-zone:", '    name: "."', *upstream, ""]
    return _SETTINGS.format(
        interfaces=_indented(interfaces),
        anchors=_indented(_anchors(anchors)),
        forward="\n".join(upstream),
        control=paths.resolver / "control/socket",
        names=paths.resolver_names,
    )


def names(records: Iterable[tuple[str, str]], domain: str) -> str:
    """Members' names. What else is asked for in their domain does not exist, and is not asked for outside."""
    soa = f"{domain}. {TTL} IN SOA localhost. nobody.invalid. 1 3600 1200 604800 {TTL}"
    lines = [f'local-zone: "{domain}." static', f'local-data: "{soa}"']
    lines += [f'local-data: "{name} {TTL} IN {data}"' for name, data in records]
    return f"server:\n{_indented(lines)}\n"


def uplink_resolvers(text: str) -> tuple[str, ...]:
    """The WAN's resolvers, from systemd-resolved's list of them."""
    found = re.findall(r"^nameserver\s+(\S+)\s*$", text, re.MULTILINE)
    return tuple(dict.fromkeys(address for address in found if _can_be_asked(address)))


def _can_be_asked(text: str) -> bool:
    """Link-local ones have their interface behind a %."""
    if not re.fullmatch(r"[0-9a-fA-F.:]+(%[\w.-]+)?", text):
        return False
    try:
        return not ip_address(text).is_loopback
    except ValueError:
        return False


def _anchors(given: Iterable[tuple[str, str]]) -> Iterator[str]:
    zones = set()
    for zone, data in given:
        zones.add(zone)
        yield f'trust-anchor: "{zone} DS {data}"'
    if "." not in zones:
        yield f'auto-trust-anchor-file: "{ROOT_ANCHOR}"'


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
