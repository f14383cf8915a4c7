"""What still runs from files that an update has replaced: services are started anew, the rest needs a reboot.

In /proc/PID/maps a replaced file's name has ` (deleted)` behind it (proc(5)); /proc/PID/cgroup has the unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .. import store
from ..machine import Machine

CODE = ("/usr/", "/opt/")  # programs and libraries; what is elsewhere was deleted by its own program
# Process 1, and what all services talk through: neither can be started anew on a running system.
REBOOT = ("init.scope", "dbus.service")
OURSELVES = ("ztgate-update.service", "ztgate-update-check.service")


def is_outdated(maps: str) -> bool:
    """Whether a process has a file of a package mapped that is there no more."""
    for line in maps.splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6 and words[5].startswith(CODE) and words[5].endswith(" (deleted)"):
            return True
    return False


def unit(cgroup: str) -> str:
    """The unit that a process belongs to."""
    parts = cgroup.strip().rpartition("::")[2].split("/")
    return next((part for part in reversed(parts) if part.endswith((".service", ".scope"))), "")


def units(processes: Path) -> set[str]:
    """Units with such a process."""
    found = set()
    for folder in processes.glob("[0-9]*"):
        try:
            if is_outdated(store.read_text(folder / "maps") or ""):
                found.add(unit(store.read_text(folder / "cgroup") or ""))
        except OSError:  # it has ended meanwhile
            continue
    return found


def restart(found: Iterable[str]) -> list[str]:
    """Services to start anew; not who is logged in, and not ourselves."""
    spared = ("user@", *REBOOT, *OURSELVES)
    return sorted(name for name in found if name.endswith(".service") and not name.startswith(spared))


def reboot(machine: Machine, found: Iterable[str]) -> str:
    """Why the machine has to start anew, "" where it does not."""
    if machine.paths.reboot_required.exists():
        return "a package asks for it"
    if old := sorted(set(REBOOT) & set(found)):
        return f"{' and '.join(old)} cannot be started anew otherwise"
    return ""
