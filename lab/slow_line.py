"""A line with a delay, for kernels without netem: what is routed into one tun device leaves another later.

python -m lab.slow_line A B MILLISECONDS   until a signal ends it

The host that it runs in has a routing rule for each direction, which sends what comes from one side into A
and from the other into B. The devices appear with the program.
"""

import contextlib
import fcntl
import heapq
import os
import select
import struct
import sys
import time

TUNSETIFF, TUN, NO_INFORMATION = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
LARGEST = 65536  # bytes
QUEUE = 10_000  # packets; who sends more than the line takes loses them


def device(name: str) -> int:
    """A tun device; its file descriptor. Offloads are off, so packets come as they go over a cable."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), TUN | NO_INFORMATION))
    return file


def main(a: str, b: str, milliseconds: str) -> None:
    """Pass packets on, each after its time."""
    ends = [device(a), device(b)]
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    waiting: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for file in select.select(ends, [], [], pause)[0]:
            packet = os.read(file, LARGEST)
            number += 1
            if len(waiting) < QUEUE:
                due = time.monotonic() + int(milliseconds) / 1000
                heapq.heappush(waiting, (due, number, other[file], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, file, packet = heapq.heappop(waiting)
            with contextlib.suppress(OSError):  # of an end that is still down, or down again
                os.write(file, packet)


if __name__ == "__main__":
    main(*sys.argv[1:])
