"""How much memory there is to spare, for what is thrown away soon."""

from __future__ import annotations

import re
from pathlib import Path


def spare(root: Path = Path("/")) -> int:
    """Bytes that nobody needs: of the machine, and of each control group that we are in."""
    found = re.search(r"^MemAvailable: +(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    machine = int(found[1]) * 1024 if found else 0
    return min([machine, *_left(root)])


def _left(root: Path) -> list[int]:
    """What the limits of control groups leave, as versions 1 and 2 have them; inside a container, its own."""
    found = []
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, limit, used = root / "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            top, limit, used = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        own = top / path.lstrip("/")
        for group in (group for group in (own, *own.parents) if group.is_relative_to(top)):
            said = _number(group / limit)
            if said is not None:
                found.append(said - (_number(group / used) or 0))
    return found


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, or `max`
        return None
