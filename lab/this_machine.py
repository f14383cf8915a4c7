"""The machine that measures, for who reads its figures."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def described() -> dict[str, str]:
    """What a reader needs to know of it."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal: *(\d+) kB", Path("/proc/meminfo").read_text())
    load = Path("/proc/loadavg").read_text().split()[0]
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / (1 << 20):.1f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "run as": "root" if os.geteuid() == 0 else "a user without privileges",
        "load at the start": load,
    }
