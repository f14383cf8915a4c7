"""What the page says, decided from facts: pure. The template only puts it into HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from ..updates import words
from .facts import Examination, Facts, Member, Verdict
from .metrics import is_there

STALE = 60.0  # seconds after which facts are old: they come every 10 while somebody looks
STALE_DOCTOR = 180.0  # he comes every 60, and takes up to 30
RECENT = 120.0  # seconds since its last packet in which a member goes out here "now"
GOOD, WARN, BAD, IDLE = "good", "warn", "bad", "idle"
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# Where a member is, is not every other member's business.
# Links without which nothing gets out, in members' words.
NO_INTERNET = ("link", "address", "router", "nat", "internet")
WHEREABOUTS = re.compile(r"(direct) by [^\s,]+")


@dataclass(frozen=True)
class Headline:
    """How it stands, in a few words; text and hint say more."""

    tone: str
    title: str
    text: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Family:
    """What this member's IPv4 or IPv6 does."""

    name: str
    tone: str
    title: str
    text: str = ""
    address: str = ""


@dataclass(frozen=True)
class Me:
    """Who is looking; families are empty for somebody who is no member."""

    address: str
    who: str
    families: tuple[Family, ...]


@dataclass(frozen=True)
class Row:
    """A member in the table."""

    who: str
    node: str
    addresses: tuple[str, ...]
    way: str
    seen: str
    sent: str
    received: str
    there: bool
    me: bool


@dataclass(frozen=True)
class View:
    """The whole page."""

    gateway: str
    network: str
    version: str
    headline: Headline
    todo: tuple[str, ...]
    warnings: tuple[str, ...]
    healed: str
    me: Me
    up: str
    down: str
    members: tuple[Row, ...]
    there: int
    verdicts: tuple[Verdict, ...]
    facts_age: str
    doctor_age: str
    doctor_stale: bool
    last_run: str


def build(facts: Facts, doctor: Examination, client: str, now: float) -> View:
    """The page for who looks from an address, at a time in seconds since 1970."""
    status = facts.status
    how = headline(facts, doctor, now)
    member = _member(facts, client)
    old_verdicts = now - doctor.at > STALE_DOCTOR
    return View(
        gateway=facts.name,
        network=facts.network,
        version=str(status.get("version", "")),
        headline=how,
        todo=tuple(map(str, status.get("todo", ()))),
        warnings=_notes(status),
        healed=", ".join(f"{what} {count}" for what, count in status.get("healed", {}).items()),
        me=_me(facts, member, client, how.tone == GOOD),
        up=_rate(facts.up),
        down=_rate(facts.down),
        members=tuple(_row(each, facts.at, each == member) for each in _sorted(facts)),
        there=sum(1 for each in facts.members if is_there(each, facts.at)),
        verdicts=tuple(_discreet(verdict) for verdict in doctor.verdicts),
        facts_age=age(now - facts.at) if facts.at else "",
        doctor_age=age(now - doctor.at) if doctor.at else "",
        doctor_stale=old_verdicts,
        last_run=age(now - facts.last_run) if facts.last_run else "",
    )


def _notes(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Warnings, and what became of updates where somebody should know."""
    about = (f"updates: {line}" for line in words.warnings(status.get("updates", {})))
    return (*map(str, status.get("warnings", ())), *about)


def headline(facts: Facts, doctor: Examination, now: float) -> Headline:
    """The one thing that everybody wants to know."""
    status = facts.status
    state, reason, hint = (str(status.get(key, "")) for key in ("state", "reason", "hint"))
    if not status:
        return Headline(IDLE, "Not known yet", "The gateway has not said anything about itself so far.")
    if now - facts.at > STALE:
        text = f"What is below was so {age(now - facts.at)}."
        return Headline(IDLE, "Not known now", text, "systemctl status ztgate-observe")
    if state == "withdrawn":
        return Headline(IDLE, "Withdrawn", "This machine is not the gateway of its network any more.", hint)
    if state == "failed":
        return Headline(BAD, "Not working", _sentence(reason), hint)
    if state == "waiting":
        return Headline(WARN, "Waiting", _sentence(reason), hint)
    broken = doctor.broken if now - doctor.at <= STALE_DOCTOR else None
    if broken:
        title = "No internet" if broken.name in NO_INTERNET else f"Trouble: {broken.name}"
        return Headline(BAD, title, _sentence(_discreet(broken).evidence), broken.next_step)
    if status.get("ipv6", "none") == "none":
        return Headline(GOOD, "Working, IPv4 only", _sentence(str(status.get("ipv6_reason", ""))))
    if not doctor.verdicts:
        return Headline(GOOD, "Set up", "Every link is being examined: that takes a minute.")
    return Headline(GOOD, "Working", "IPv4 and IPv6 reach the internet from here.")


def _me(facts: Facts, member: Member | None, client: str, well: bool) -> Me:
    if member is None:
        who = "the gateway itself" if _is_gateway(client) else "a member that the gateway has not met yet"
        return Me(client, who, ())
    ipv6 = str(facts.status.get("ipv6", "none")) != "none"
    families = (
        _ipv4(facts, member, well),
        _ipv6(facts, member, well) if ipv6 else _no_ipv6(facts),
    )
    return Me(client, member.name or member.node, families)


def _ipv4(facts: Facts, member: Member, well: bool) -> Family:
    if member.used4 <= facts.at - RECENT:
        return _unused("IPv4", member.used4, facts.at)
    if not well:
        return Family("IPv4", WARN, "Sent to this gateway", "See above whether it gets out.")
    if not facts.public4:
        return Family("IPv4", GOOD, "Goes through this gateway", "Its public address is not known yet.")
    return Family("IPv4", GOOD, "Goes through this gateway", "The internet sees", facts.public4)


def _ipv6(facts: Facts, member: Member, well: bool) -> Family:
    if member.used6 <= facts.at - RECENT:
        return _unused("IPv6", member.used6, facts.at)
    if not well:
        return Family("IPv6", WARN, "Sent to this gateway", "See above whether it gets out.")
    address = facts.public6 or _global(member, str(facts.status.get("subnet", "")))
    text = "The internet sees" if facts.public6 else "The internet sees this device's own address"
    return Family("IPv6", GOOD, "Goes through this gateway", text, address)


def _no_ipv6(facts: Facts) -> Family:
    reason = _sentence(str(facts.status.get("ipv6_reason", "")))
    return Family("IPv6", IDLE, "Not through this gateway", reason)


def _unused(name: str, last: float, at: float) -> Family:
    since = f"Its last packet came {age(at - last)}." if last else "Nothing of this device has come so far."
    allow = "Default Route" if name == "IPv4" else "Default Route and Global IP"
    return Family(
        name, WARN, "Not through this gateway now", f"{since} Is “{allow}” allowed in its ZeroTier?"
    )


def _global(member: Member, subnet: str) -> str:
    inside = (a for a in member.addresses if ":" in a and subnet and IPv6Address(a) in IPv6Network(subnet))
    return next(inside, "")


def _member(facts: Facts, client: str) -> Member | None:
    return next((member for member in facts.members if client in member.addresses), None)


def _is_gateway(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False


def _sorted(facts: Facts) -> list[Member]:
    """Who is there comes first, then by what went through."""
    return sorted(facts.members, key=lambda m: (not is_there(m, facts.at), -(m.sent + m.received), m.node))


def _row(member: Member, at: float, me: bool) -> Row:
    seen = max(member.heard, member.used4, member.used6)
    return Row(
        who=member.name or member.node or next(iter(member.addresses), ""),
        node=member.node,
        addresses=member.addresses,
        way=_way(member),
        seen=("now" if at - seen < RECENT else age(at - seen)) if seen else "",
        sent=size(member.sent),
        received=size(member.received),
        there=is_there(member, at),
        me=me,
    )


def _way(member: Member) -> str:
    if member.direct is None:
        return ""
    way = "direct" if member.direct else "relayed"
    return f"{way}, {member.latency} ms" if member.direct and member.latency >= 0 else way


def _discreet(verdict: Verdict) -> Verdict:
    evidence = WHEREABOUTS.sub(r"\1", verdict.evidence)
    return Verdict(verdict.name, verdict.ok, evidence, verdict.next_step)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _rate(value: float | None) -> str:
    """Bits a second, as networks are sold."""
    if value is None:
        return ""
    bits, unit = value * 8, "bit/s"
    for larger in ("kbit/s", "Mbit/s", "Gbit/s"):
        if bits < 1000:
            break
        bits, unit = bits / 1000, larger
    return f"{bits:.0f} {unit}" if unit == "bit/s" or bits >= 100 else f"{bits:.1f} {unit}"


def size(count: float) -> str:
    """Bytes, in three digits or so."""
    unit = UNITS[0]
    for unit in UNITS:
        if count < 1000 or unit == UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def age(seconds: float) -> str:
    """How long ago, roughly; clocks that were put back make it now."""
    for length, one in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {one}{'s' if count > 1 else ''} ago"
    return "now"


def status_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of `ztgate status --json` what members may see: no path of a file, no command with an id."""
    hidden = ("source", "commands", "builder")
    return {key: value for key, value in data.items() if key not in hidden}
