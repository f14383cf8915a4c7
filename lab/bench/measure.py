"""A program that runs another one and says what that took, in JSON: wall-clock time and processor time.

    python -I lab/bench/measure.py REPORT.json SECONDS LOG -- COMMAND …

Processor time is that of all descendants: whoever loses his parent becomes a child of this program, and what
is left when the command has ended is ended, too. A loop device's own work is the kernel's, and nobody's; so
is what is left in a process namespace that ends, zap_pid_ns_processes().
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TIME_IS_UP = 124  # as timeout(1) says it


def main(argv: list[str]) -> int:
    """Run the command; its exit status is ours."""
    report, limit, log, _, *command = argv
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    try:
        status = _run(command, float(limit), Path(log))
    finally:
        wall = time.monotonic() - began
        _end_descendants()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = {"status": status, "wall": wall, "user": used.ru_utime, "system": used.ru_stime}
    Path(report).write_text(json.dumps(said))
    return status


def _run(command: list[str], limit: float, log: Path) -> int:
    with log.open("ab") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            sink.write(f"nothing after {limit:.0f} s\n".encode())
            return TIME_IS_UP


def _end_descendants() -> None:
    """Until there are no more: who is ended leaves us his children."""
    while children := _children():
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _children() -> list[int]:
    return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
