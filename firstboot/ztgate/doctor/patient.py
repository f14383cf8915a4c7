"""What the checks look at. Everything is read at once, as a broken link is often one that never answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from .. import run
from ..config import Config
from ..errors import ZtgateError
from ..facts import wan, wifi
from ..machine import Machine
from ..state import State
from ..zerotier import Network
from .probes import Egress, egress

T = TypeVar("T")
Rows = list[dict[str, Any]]
LIMIT = 25.0  # seconds for everything; the longest probe takes half of that
TOOL = 10.0  # seconds for a tool that only looks


def later(read: Callable[[], T], end: float) -> Callable[[], T]:
    """Begin to read in a thread of its own; the function waits until `end`, and gives what was found."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(read())
        except Exception as error:  # goes to whoever asks for the result
            future.set_exception(error)

    def wait() -> T:
        try:
            return future.result(max(0.0, end - time.monotonic()))
        except TimeoutError:
            raise ZtgateError(f"no answer within {LIMIT:g} seconds") from None

    threading.Thread(target=work, daemon=True).start()
    return wait


class Patient:
    """Facts that more than one check needs; each is a function that waits for it, and raises what it met."""

    def __init__(self, machine: Machine, config: Config, state: State) -> None:
        self.machine, self.config, self.state = machine, config, state
        self.end = time.monotonic() + LIMIT
        self.links: Callable[[], Rows] = self._later(partial(self.rows, "addr", "show"))
        self.routes4: Callable[[], Rows] = self._later(partial(self.rows, "-4", "route", "show"))
        self.routes6: Callable[[], Rows] = self._later(partial(self.rows, "-6", "route", "show"))
        self.wan: Callable[[], wan.Wan] = self._later(self._wan)
        self.status: Callable[[], dict[str, Any]] = self._later(machine.service.status)
        self.network: Callable[[], Network] = self._later(self._network)
        self.peers: Callable[[], Rows] = self._later(self._peers)
        self.egress: Callable[[], Egress] = self._later(self._egress)

    def _later(self, read: Callable[[], T]) -> Callable[[], T]:
        return later(read, self.end)

    def probe(self, *argv: str, timeout: float = TOOL) -> tuple[int, str]:
        """Run a tool: its exit status and output."""
        return self.machine.probe(argv, timeout=timeout)

    def rows(self, *words: str) -> Rows:
        """What `ip -j` shows."""
        argv: Sequence[str] = ("ip", "-j", *words)
        found = json.loads(run.expect_success(argv, *self.probe(*argv)) or "[]")
        return [row for row in found if isinstance(row, dict)]

    def wifi(self) -> dict[str, str]:
        """What each wireless adapter is doing."""
        return wifi.states(self.machine.probe, self.machine.paths)

    def _wan(self) -> wan.Wan:
        return wan.parse(self.links(), self.routes4(), self.routes6(), self.wifi)

    def _network(self) -> Network:
        self.status()
        found = self.machine.service.network(self.config.network)
        if found is None:
            raise ZtgateError(f"network {self.config.network} is not joined", "ztgate apply")
        return found

    def _peers(self) -> Rows:
        self.status()
        return self.machine.service.peer_rows()

    def _egress(self) -> Egress:
        seen = self.wan()
        own = [str(address.ip) for address in self.network().addresses4]
        # The address that members send to, if it is there.
        source = self.state.address if self.state.address in own else "".join(own[:1])
        if not source:
            raise ZtgateError("this gateway has no IPv4 address on the network to send from", "ztgate apply")
        return egress(self.probe, seen.interface, source)
