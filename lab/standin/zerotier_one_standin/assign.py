"""Which addresses a member gets: the embedded controller's rules, odd ones included."""

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from . import addresses, derive
from .addresses import IP, Inet
from .coerce import Json, to_bool, to_str
from .config import Route, parse_routes

_TRIALS = 1000
_NODE_SPAN = 0xFFFFFFFFFF  # a pool of this many addresses can hold a whole node id
_LOW_64 = (1 << 64) - 1
MAX_ADDRESSES = 32


@dataclass(frozen=True)
class Assignment:
    """The outcome: what is sent, and the member's list with what the pools added."""

    addresses: tuple[Inet, ...]
    ip_assignments: tuple[str, ...]
    emulate_nd: bool


def assign(network: Json, member: Json, nwid: int, node: int, taken: Iterable[str]) -> Assignment:
    """Work out a member's addresses."""
    routes = parse_routes(network.get("routes"))
    automatic = not to_bool(member.get("noAutoAssignIps"))
    v4_mode, v6_mode = _mode(network, "v4AssignMode"), _mode(network, "v6AssignMode")
    sent: list[Inet] = []
    if automatic and to_bool(v6_mode.get("rfc4193")):
        sent.append(derive.rfc4193(nwid, node))
    if automatic and to_bool(v6_mode.get("6plane")):
        sent.append(derive.sixplane(nwid, node))
    emulate = bool(sent)
    listed = [text for text in member.get("ipAssignments") or [] if isinstance(text, str)]
    explicit = [each for each in (_explicit(routes, text) for text in listed) if each is not None]
    sent += explicit
    used = {*taken, *listed}
    for version, mode in ((6, v6_mode), (4, v4_mode)):
        if automatic and to_bool(mode.get("zt")) and not any(each.ip.version == version for each in explicit):
            chosen = _from_pools(network, routes, version, node, used)
            if chosen is not None:
                sent.append(chosen)
                listed.append(str(chosen.ip))
    return Assignment(tuple(sent[:MAX_ADDRESSES]), tuple(listed), emulate)


def _mode(network: Json, key: str) -> Json:
    mode = network.get(key)
    return mode if isinstance(mode, dict) else {}


def _explicit(routes: Iterable[Route], text: str) -> Inet | None:
    """An address with the length of the longest route around it; without one it is not sent.

    A default route contains everything, so that a stray address comes out as /0.
    """
    address = addresses.parse(text)
    if address is None:
        return None
    lengths = [target.bits for target, _ in routes if target.contains(address.ip)]
    return Inet(address.ip, max(lengths)) if lengths else None


def _from_pools(
    network: Json, routes: tuple[Route, ...], version: int, node: int, used: set[str]
) -> Inet | None:
    choose = _choose_v4 if version == 4 else _choose_v6
    for pool in network.get("ipAssignmentPools") or []:
        start = addresses.parse(to_str(pool.get("ipRangeStart")))
        end = addresses.parse(to_str(pool.get("ipRangeEnd")))
        if start is None or end is None or start.ip.version != version or end.ip.version != version:
            continue
        chosen = choose(int(start.ip), int(end.ip), routes, node, used)
        if chosen is not None:
            return chosen
    return None


def _choose_v6(start: int, end: int, routes: tuple[Route, ...], node: int, used: set[str]) -> Inet | None:
    """The start plus the node's id where the range has room for it, else something random."""
    low_span = (end & _LOW_64) - (start & _LOW_64)
    high_span = (end >> 64) - (start >> 64)
    for trial in range(_TRIALS):
        if trial == 0 and low_span >= _NODE_SPAN:
            low, high = node, 0
        else:
            low = secrets.randbelow(low_span) if low_span > 0 else 0
            high = secrets.randbelow(high_span) if high_span > 0 else 0
        number = (((start >> 64) + high) << 64) + (((start & _LOW_64) + low) & _LOW_64)
        ip = ipaddress.IPv6Address(number)
        lengths = [target.bits for target, via in routes if via is None and target.contains(ip)]
        if lengths and lengths[-1] > 0 and str(ip) not in used:
            return Inet(ip, lengths[-1])  # the last match counts, not the longest
    return None


def _choose_v4(start: int, end: int, routes: tuple[Route, ...], node: int, used: set[str]) -> Inet | None:
    """From the start plus the node's id modulo the length onwards; never .255."""
    if end < start or start == 0:
        return None
    length = end - start
    for trial in range(min(_TRIALS, length + 1)):
        number = start + (((node & 0xFFFFFFFF) + trial) % length if length else 0)
        ip = ipaddress.IPv4Address(number)
        bits = next((target.bits for target, _ in routes if _is_in_v4(target, ip)), -1)
        if number & 0xFF != 0xFF and bits > 0 and str(ip) not in used:
            return Inet(ip, bits)
    return None


def _is_in_v4(target: Inet, ip: IP) -> bool:
    """Whether a pool's address is in a route: compared with the target as written, host bits and all."""
    if target.ip.version != 4 or target.bits == 0:
        return False
    shift = 32 - target.bits
    return int(ip) >> shift << shift == int(target.ip)
