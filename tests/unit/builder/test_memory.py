"""How much memory there is to spare, on a machine and in containers with limits."""

from pathlib import Path

import pytest

from builder import memory
from tests.unit.builder.conftest import make_tree

MIB = 1 << 20
MACHINE = {"proc/meminfo": "MemTotal: 99999999 kB\nMemAvailable:   8388608 kB\n"}
V1 = "sys/fs/cgroup/memory/"
CASES = {
    "no limits": ({"proc/self/cgroup": "0::/\n"}, 8192 * MIB),
    "version 2, no limit": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"},
        8192 * MIB,
    ),
    "version 2, a limit above": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": f"{2048 * MIB}\n",
            "sys/fs/cgroup/a/memory.current": f"{48 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
        },
        2000 * MIB,
    ),
    "version 1, in a container": (
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/x\n0::/\n",
            f"{V1}memory.limit_in_bytes": f"{1000 * MIB}\n",
            f"{V1}memory.usage_in_bytes": f"{900 * MIB}\n",
        },
        100 * MIB,
    ),
}


@pytest.mark.parametrize(("files", "expected"), CASES.values(), ids=CASES.keys())
def test_the_tightest_limit_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert memory.spare(make_tree(tmp_path, {**MACHINE, **files})) == expected


def test_this_machine_has_some() -> None:
    assert memory.spare() > 0
