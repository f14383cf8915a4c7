"""Prometheus' text format: our own metrics, and ZeroTier's as its service gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .facts import Examination, Facts, Member

TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("ready", "waiting", "failed", "withdrawn")
TOKENS = ("kept", "discarded", "absent")
RECENT = 120.0  # seconds since it was heard or went out here, in which a member counts as there
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """A metric: its samples are labels and values."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[Labels, float], ...]


def families(facts: Facts, doctor: Examination, now: float) -> list[Family]:
    """Our own; without samples where nothing is known."""
    status = facts.status
    wan = status.get("wan") or {}
    state, token = status.get("state", ""), status.get("token", "")
    one = _one(now - facts.at if facts.at else None)
    info = {key: str(status.get(key, "")) for key in ("version", "network", "node", "address")}
    there = sum(1 for member in facts.members if is_there(member, facts.at))
    return [
        Family("ztgate_info", "gauge", "The gateway: always 1.", ((info, 1.0),) if status else ()),
        Family("ztgate_facts_age_seconds", "gauge", "Age of all that is not of the doctor.", one),
        Family("ztgate_ready", "gauge", "Whether the gateway is set up.", _one(state == "ready")),
        Family("ztgate_state", "gauge", "1 for the state that it is in.", _enum("state", STATES, state)),
        Family("ztgate_token", "gauge", "1 for what became of the token.", _enum("token", TOKENS, token)),
        Family(
            "ztgate_last_run_timestamp_seconds", "gauge", "When `ztgate apply` last ended a round.",
            _one(facts.last_run or None),
        ),
        Family(
            "ztgate_ipv6_announced", "gauge", "Whether members are sent here for IPv6.",
            _one(str(status.get("ipv6", "none")) != "none"),
        ),
        Family(
            "ztgate_wan_info", "gauge", "The WAN: always 1, and absent while it is not known.",
            (({"interface": wan["interface"], "address": wan["address"], "public": facts.public4}, 1.0),)
            if wan else (),
        ),
        Family(
            "ztgate_warnings", "gauge", "Warnings of `ztgate status`.", _one(len(status.get("warnings", ()))),
        ),
        Family(
            "ztgate_healed_total", "counter", "What was put right since the boot.",
            tuple(({"what": str(name)}, float(count)) for name, count in status.get("healed", {}).items()),
        ),
        *_updates(status.get("updates") or {}),
        Family("ztgate_members", "gauge", "Members that were heard of lately.", _one(there)),
        Family(
            "ztgate_refused_packets_total", "counter", "Packets that the firewall refused, by reason.",
            tuple(({"reason": words}, float(packets)) for words, packets in facts.refused.items()),
        ),
        *_traffic(facts),
        *_doctor(doctor, now),
    ]  # fmt: skip


def _updates(updates: Mapping[str, Any]) -> list[Family]:
    last, back = ((updates.get(key) or {}).get("at") for key in ("last", "taken_back"))
    return [
        Family("ztgate_update_timestamp_seconds", "gauge", "When the last that stayed began.", _one(last)),
        Family("ztgate_update_taken_back_timestamp_seconds", "gauge", "The last that did not.", _one(back)),
        Family(
            "ztgate_update_looked_timestamp_seconds", "gauge", "When updates were looked for.",
            _one(updates.get("looked")),
        ),
        Family(
            "ztgate_updates_held", "gauge", "Versions that are not to come back.",
            _one(len(updates.get("held", ()))),
        ),
    ]  # fmt: skip


def _doctor(doctor: Examination, now: float) -> list[Family]:
    links = tuple(({"link": verdict.name}, float(verdict.ok)) for verdict in doctor.verdicts)
    age, healthy = (now - doctor.at, doctor.broken is None) if doctor.at else (None, None)
    return [
        Family("ztgate_link_ok", "gauge", "The doctor's verdict on each link of the chain.", links),
        Family("ztgate_healthy", "gauge", "Whether all links hold.", _one(healthy)),
        Family("ztgate_doctor_age_seconds", "gauge", "Age of the doctor's verdicts.", _one(age)),
    ]


def _traffic(facts: Facts) -> list[Family]:
    interfaces = tuple(
        ({"interface": name, "direction": direction}, float(value))
        for name, both in facts.interfaces.items()
        for direction, value in zip(("in", "out"), both, strict=True)
    )
    labelled = [(_who(member), member) for member in facts.members]
    return [
        Family("ztgate_interface_bytes_total", "counter", "Bytes in and out of its two sides.", interfaces),
        Family(
            "ztgate_member_sent_bytes_total", "counter", "Bytes that a member sent out through this gateway.",
            tuple((who, float(member.sent)) for who, member in labelled),
        ),
        Family(
            "ztgate_member_received_bytes_total", "counter", "Bytes that came back for it.",
            tuple((who, float(member.received)) for who, member in labelled),
        ),
        Family(
            "ztgate_member_direct", "gauge", "Whether it is reached directly (1) or by a relay (0).",
            tuple((who, float(m.direct)) for who, m in labelled if m.direct is not None),
        ),
    ]  # fmt: skip


def is_there(member: Member, at: float) -> bool:
    """Whether a member was heard of lately."""
    return max(member.heard, member.used4, member.used6) > at - RECENT


def text(own: Iterable[Family], zerotier: str) -> str:
    """All of it; a family of ZeroTier's only if it is whole, and once."""
    lines: list[str] = []
    for family in own:
        if family.samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
            lines += [f"{family.name}{_labels(labels)} {value:.15g}" for labels, value in family.samples]
    return "\n".join([*lines, *_of_zerotier(zerotier)]) + "\n"


def _of_zerotier(exposition: str) -> list[str]:
    """Families whose names begin with zt_; the rest is about controllers, which a gateway is none of."""
    kept: list[str] = []
    seen: set[str] = set()
    for line in exposition.splitlines():
        words = line.split(" ", 3)
        name = words[2] if line.startswith("# ") and len(words) > 2 else line.partition("{")[0].split(" ")[0]
        key = " ".join(words[1:3]) if line.startswith("# ") else line.rpartition(" ")[0]
        if name.startswith("zt_") and key not in seen:
            seen.add(key)
            kept.append(line)
    return kept


def _one(value: float | bool | None) -> tuple[tuple[Labels, float], ...]:
    return () if value is None else (({}, float(value)),)


def _enum(label: str, values: Iterable[str], current: object) -> tuple[tuple[Labels, float], ...]:
    return tuple(({label: value}, float(value == current)) for value in values)


def _who(member: Member) -> Labels:
    return {"node": member.node, "name": member.name, "address": next(iter(member.addresses), "")}


def _labels(labels: Labels) -> str:
    quoted = (f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return "{" + ",".join(quoted) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
