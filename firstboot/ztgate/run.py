"""The only place that starts processes."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from collections.abc import Sequence

from . import alive
from .errors import WaitingError, ZtgateError

log = logging.getLogger("ztgate")
# Debian package of each tool, for the error when one is missing.
PACKAGES = {"nft": "nftables", "ip": "iproute2", "ping": "iputils-ping", "ndppd": "ndppd"}
# iproute2's words for an interface.
GONE = ("Cannot find device", "does not exist")


class CommandError(ZtgateError):
    """A tool failed; the message is what the user reads."""

    def __init__(self, argv: Sequence[str], status: int, output: str, hint: str = "") -> None:
        self.status = status
        self.output = output
        last = output.strip().splitlines()[-3:]
        super().__init__(f"`{shlex.join(argv)}` failed ({status}): {' / '.join(last) or 'no output'}", hint)


class VanishedError(CommandError, WaitingError):
    """It was about an interface that is not there any more: the next look begins with those that are."""


def expect_success(argv: Sequence[str], status: int, output: str) -> str:
    """The output of a finished tool; CommandError when it failed."""
    if status != 0:
        tool = argv[0]
        hint = f"apt install {PACKAGES[tool]}" if status == 127 and tool in PACKAGES else ""
        vanished = tool == "ip" and any(words in output for words in GONE)
        raise (VanishedError if vanished else CommandError)(argv, status, output, hint)
    return output


def probe(argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> tuple[int, str]:
    """Run argv and return (exit status, output); 127 when it is not installed, 124 when it took too long."""
    log.debug("+ %s", shlex.join(argv))
    environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LANG": "C.UTF-8"}
    try:
        process = subprocess.Popen(
            list(argv),
            env=environment,
            text=True,
            errors="replace",
            stdin=subprocess.PIPE,  # never the console's input
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError:
        return 127, f"{argv[0]} is not installed"
    with process:
        given: str | None = stdin or ""
        for slice_ in alive.slices(timeout):
            try:
                output, _ = process.communicate(given, timeout=slice_)
            except subprocess.TimeoutExpired:
                given = None  # it goes on with the rest of it
            else:
                return process.returncode, output
        process.kill()
        process.communicate()
    return 124, f"no end after {timeout:g} seconds"
