"""The machine that ztgate runs on: where things are, and the one place where actions are carried out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from . import healed, run, state, store
from .actions import (
    Action,
    CallService,
    Command,
    DeleteMember,
    Overwrite,
    Remove,
    SetSysctl,
    WriteFile,
    WriteMember,
    WriteNetwork,
)
from .by_hand import Item
from .calls import Calls
from .console import Console
from .controllers.base import Controller
from .errors import ZtgateError
from .facts.ipv6_probe import Listener, Solicitations
from .paths import Paths
from .state import State
from .wait import Clock, SystemClock, until
from .zerotier import Service

log = logging.getLogger("ztgate")
T = TypeVar("T")


class Machine:
    """Facts come from it, actions go to it. dry_run shows actions instead of carrying them out."""

    def __init__(
        self,
        paths: Paths | None = None,
        *,
        dry_run: bool = False,
        clock: Clock | None = None,
        probe: Callable[..., tuple[int, str]] = run.probe,
    ) -> None:
        self.paths = paths or Paths()
        self.dry_run = dry_run
        self.clock = clock or SystemClock()
        self.calls = Calls(self.paths, self.clock, dry_run=dry_run)
        self.console = Console(self.paths)
        self.service = Service(self.paths)
        self.controller: Controller | None = None
        self._powerful: Controller | None = None  # the one whose token was found to be good enough
        self.network_id = ""
        self.performed: list[Action] = []
        self.warnings: list[str] = []
        self.todo: tuple[Item, ...] = ()
        self.later: list[Callable[[], None]] = []  # what no member waits for
        self.probe = probe
        self.listen_for_solicitations: Callable[[str], Listener] = Solicitations

    def run(self, argv: Sequence[str], stdin: str | None = None) -> str:
        """Run a tool and return its output; CommandError when it fails."""
        return run.expect_success(argv, *self.probe(argv, stdin=stdin))

    def say_waiting(self, reason: str) -> None:
        """Tell people what this is waiting for."""
        if self.dry_run:
            log.info("waiting: %s", reason)
        else:
            self.console.say(f"waiting: {reason}")

    def wait(self, check: Callable[[], T], seconds: float) -> T:
        """Wait until check stops raising WaitingError; a dry run does not wait for what it has not done."""
        patience = 0.0 if self.dry_run else seconds
        return until(check, seconds=patience, clock=self.clock, say=self.say_waiting)

    def warn(self, text: str) -> None:
        """Something that people should know although the gateway works."""
        log.warning("%s", text)
        self.warnings.append(text)

    def begin(self) -> None:
        """A round of its own: nothing is left of the last one."""
        self.warnings.clear()
        self.later.clear()

    def catch_up(self) -> None:
        """Do what was left for later."""
        while self.later:
            self.later.pop(0)()

    def remember(self, current: State) -> None:
        """Write down what later runs have to know; a dry run leaves nothing behind."""
        if not self.dry_run:
            with self.keeping():
                state.save(self.paths, current)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """What is written in it serves the next boot: without it this one goes on, and says so."""
        try:
            yield
        except OSError as error:
            self.warn(f"{error.filename or self.paths.state_dir} cannot be written: {error.strerror}")

    def mend(self, name: str, actions: Iterable[Action]) -> bool:
        """Carry out a plan. In a gateway that was at work it puts something right: that is counted."""
        at_work = self.paths.ready_seconds.exists()
        done = self.do(actions)
        if done and name and at_work and not self.dry_run:
            healed.count(self.paths, name)
        return done

    def do(self, actions: Iterable[Action]) -> bool:
        """Carry out a plan; whether there was anything in it."""
        done = False
        for action in actions:
            done = True
            log.info("%s: %s", action.why, action)
            self.performed.append(action)
            if not self.dry_run:
                self._perform(action)
        return done

    def _perform(self, action: Action) -> None:
        match action:
            case Command():
                self.run(action.argv, stdin=action.stdin)
            case WriteFile(vital=True):
                store.write(action.path, action.content, action.mode)
            case WriteFile():
                with self.keeping():
                    store.write(action.path, action.content, action.mode)
            case SetSysctl():
                self._set_sysctl(action)
            case CallService():
                self.service.change(action.method, action.path, action.body)
            case WriteNetwork():
                self._writable().write_network(self.network_id, action.changes)
            case WriteMember():
                self._writable().write_member(self.network_id, action.node, action.changes)
            case DeleteMember():
                self._writable().delete_member(self.network_id, action.node)
            case Overwrite():
                store.overwrite(action.path, action.edits)
            case Remove():
                store.remove(action.path)

    def _set_sysctl(self, action: SetSysctl) -> None:
        try:
            (self.paths.sysctl / action.key).write_text(action.value, encoding="ascii")
        except OSError as error:
            raise ZtgateError(
                f"the kernel refuses {action}: {error.strerror}", "ztgate has to run as root"
            ) from None

    def check_power(self, *, delete: bool = False) -> None:
        """Find a token that may not write before anything is written; once for each controller opened."""
        controller = self.require_controller()
        if self._powerful is not controller and not self.dry_run:
            controller.check_power(self.network_id, delete=delete)
            self._powerful = controller

    def _writable(self) -> Controller:
        self.check_power()
        return self.require_controller()

    def require_controller(self) -> Controller:
        """The controller that was opened for this run."""
        if self.controller is None:
            raise ZtgateError("no controller was opened before writing to it", "this is a bug in ztgate")
        return self.controller
