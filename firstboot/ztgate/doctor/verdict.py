"""What the doctor says, and how it is shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Whether the link holds, what was seen, and what to do if it does not.
Result = tuple[bool, str, str]


@dataclass(frozen=True)
class Verdict:
    """One link of the chain: evidence is what was seen, next_step what to do when it is broken."""

    name: str
    ok: bool
    evidence: str
    next_step: str = ""


def as_json(verdicts: list[Verdict]) -> dict[str, Any]:
    """The verdicts for programs; `first` is the first broken link's name."""
    first = next((verdict.name for verdict in verdicts if not verdict.ok), None)
    return {"ok": first is None, "first": first, "verdicts": [asdict(verdict) for verdict in verdicts]}


def text(verdicts: list[Verdict]) -> str:
    """One line each; the first broken link comes first of all, as the others often follow from it."""
    broken = [verdict for verdict in verdicts if not verdict.ok]
    lines = [
        "All links hold." if not broken else f"First broken link: {broken[0].name}: {broken[0].evidence}"
    ]
    if broken and broken[0].next_step:
        lines.append(f"  next: {broken[0].next_step}")
    for verdict in verdicts:
        lines.append(f"{'ok    ' if verdict.ok else 'BROKEN'} {verdict.name:<16} {verdict.evidence}")
        if not verdict.ok and verdict.next_step:
            lines.append(f"{'':24}next: {verdict.next_step}")
    return "\n".join(lines) + "\n"
