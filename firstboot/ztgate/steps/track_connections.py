"""Step: room for the connections of all members, by memory.

Linux sizes its table for a machine of its own: 4,096 with 512 MiB of memory (nf_conntrack_core.c). When it is
full, new connections fail and old ones go on, which looks like anything but that.
"""

from __future__ import annotations

import os

from .. import sysctl
from ..actions import Action
from ..machine import Machine
from ..sysctl import Values

MOST, BUCKETS = "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_buckets"
COUNT = "net/netfilter/nf_conntrack_count"
CROWDED = 0.9  # of the table: people are told
# Bytes of a connection with its translation: objects of 256 and 128 in /proc/slabinfo of Linux 6.12.
BYTES = 384
SHARE = 16  # a sixteenth of the memory at most
LIMIT = 1 << 20  # connections: no uplink of ours has more


def room(memory: int) -> int:
    """How many connections a machine with so many bytes of memory is to track."""
    return min(memory // SHARE // BYTES, LIMIT)


def plan(memory: int, values: Values) -> list[Action]:
    """Only ever more than there is: somebody may have set it higher."""
    most = room(memory)
    wanted = {MOST: most, BUCKETS: most // 2}
    more = {key: str(number) for key, number in wanted.items() if number > int(values.get(key) or 0)}
    return sysctl.plan(more, values, "room for members' connections")


def crowded(values: Values) -> str:
    """What people are told of a table that is as good as full; "" of any other one."""
    count, most = (int(values.get(key) or 0) for key in (COUNT, MOST))
    if not most or count < CROWDED * most:
        return ""
    return (
        f"{count} of at most {most} connections at once: beyond that, those without an answer make way, and "
        "new ones fail where all have one; somebody floods, or the memory is too small for so many members"
    )


def run(machine: Machine) -> None:
    """In a container the table is the host's, and is left alone."""
    keys = [key for key in (MOST, BUCKETS) if os.access(machine.paths.sysctl / key, os.W_OK)]
    machine.do(plan(_memory(), sysctl.read(machine.paths, keys)))
    if words := crowded(sysctl.read(machine.paths, [COUNT, MOST])):
        machine.warn(words)


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
