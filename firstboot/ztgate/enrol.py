"""`ztgate enrol`: for a while, members that ask for the first time are let in, up to a number of them.

The window is this process: when that ends, however it ends, the window is closed. It holds a lock of its own
and not that of `ztgate apply`, which heals meanwhile: they write different members, and different files.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import admit, amend, errors, names, store
from .calls import UnavailableError
from .controllers.base import Member
from .errors import ZtgateError
from .machine import Machine
from .paths import Paths
from .register import Settings
from .secret import Secret
from .wait import Clock, in_words

log = logging.getLogger("ztgate")

UNITS = {"s": 1, "m": 60, "h": 3600}
SHORTEST, LONGEST = 10, 12 * 3600  # seconds
MOST_MEMBERS = 100
LONGEST_PREFIX = 60  # of a member's name; a dash and a number come after it
# Seconds between two looks at the members: a self-hosted controller is ours alone, Central is everybody's.
# The longer a window is open the more seldom it looks, so that none takes many requests.
PAUSE = {"self-hosted": 5.0}
PAUSE_CENTRAL = 10.0
MOST_LOOKS = 360
LONGEST_PAUSE = 60.0  # seconds, while the controller gives no answer


class Stopped(KeyboardInterrupt):
    """Somebody ends this process; status: its exit status then."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass(frozen=True)
class Window:
    """Who is to be let in. named: also if known before. prefix: of names for who has none, or ""."""

    seconds: int
    count: int
    prefix: str = ""
    named: frozenset[str] = frozenset()


def duration(text: str) -> int:
    """Seconds of 90s, 10m or 1h."""
    match = re.fullmatch(r"([0-9]{1,9})([smh])", text)
    if match is None:
        raise ZtgateError(f"--for: `{text}` is no duration", "a number and s, m or h, such as 90s, 10m or 1h")
    seconds = int(match[1]) * UNITS[match[2]]
    if not SHORTEST <= seconds <= LONGEST:
        bounds = f"between {in_words(SHORTEST)} and {in_words(LONGEST)}"
        raise ZtgateError(f"--for: `{text}` is too {'short' if seconds < SHORTEST else 'long'}", bounds)
    return seconds


def number(text: str) -> int:
    """How many members, of --count."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_MEMBERS:
        raise ZtgateError(f"--count: `{text}` is no number of members", f"1 to {MOST_MEMBERS}")
    return int(text)


def newcomers(members: Mapping[str, Member], known: Collection[str], named: Collection[str]) -> list[str]:
    """Who asks to be let in and may be: nobody who was known, or put out, unless named."""
    waiting = (node for node, member in members.items() if not member.authorized)
    return [node for node in sorted(waiting) if node in named or not (node in known or members[node].refused)]


def free_name(prefix: str, members: Mapping[str, Member]) -> str:
    """The first of PREFIX-1, PREFIX-2 and so on that nobody has."""
    taken = {member.name for member in members.values()}
    return next(name for n in range(1, len(taken) + 2) if (name := f"{prefix}-{n}") not in taken)


def shown(paths: Paths, clock: Clock) -> dict[str, Any]:
    """The window that is open, as a part of `ztgate status`; {} if none is."""
    data = store.read_json(_file(paths))
    left = float(data.get("until", 0)) - clock.now()
    if left <= 0 or not Path(f"/proc/{data['pid']}").exists():  # killed, it could not take the file away
        return {}
    left_over = data["count"] - len(data["let_in"])
    return {"enrol": {"seconds_left": round(left), "members_left": left_over, "let_in": data["let_in"]}}


def run(machine: Machine, window: Window, token: Secret | None) -> int:
    """Open the window and keep it until it closes; the exit status."""
    with _alone(machine):
        own = machine.service.node()
        if own in window.named:
            raise ZtgateError(
                f"{own} is this gateway itself", "leave it out: it is a member, or registers itself"
            )
        instead = "at the controller, authorize each member when it has asked: it is in the list of Members"
        config = admit.desk(machine, token, instead)
        machine.check_power()
        members = machine.require_controller().members(config.network)
        pause = max(PAUSE.get(config.controller.kind, PAUSE_CENTRAL), window.seconds / MOST_LOOKS)
        watch = Watch(machine, window, {*members, own}, pause)
        try:
            with _stoppable():
                watch.open(members)
                closed, status = watch.keep(), 0
        except KeyboardInterrupt as stop:
            closed, status = "it was ended", stop.status if isinstance(stop, Stopped) else 130
        except Exception as error:
            closed, status = errors.in_words(error).message, 1
        finally:
            _file(machine.paths).unlink(missing_ok=True)
        watch.close(closed)
        return status


class Watch:
    """An open window. known: everybody who was there when it was opened."""

    def __init__(self, machine: Machine, window: Window, known: set[str], pause: float) -> None:
        self.machine, self.window, self.known, self.pause = machine, window, known, pause
        self.end = machine.clock.now() + window.seconds
        self.members: dict[str, Member] = {}  # as they were seen last
        self.let_in: list[str] = []
        self.unsure: set[str] = set()  # written, and no answer came
        self.trouble = ""
        self.failures = 0

    @property
    def full(self) -> bool:
        """Whether as many as wanted are in."""
        return len(self.let_in) >= self.window.count

    def open(self, members: Mapping[str, Member]) -> None:
        """Tell people, and whom it is not for."""
        length, most = in_words(self.window.seconds), self.window.count
        self._say(f"open for {length}, for up to {most} new member{'s' if most > 1 else ''}")
        waiting = [n for n, each in members.items() if not each.authorized and n not in self.window.named]
        if waiting:
            listed = ", ".join(sorted(waiting)[:5]) + (" …" if waiting[5:] else "")
            log.info("not for who was waiting or put out before, unless named: %s", listed)
        self._note()

    def keep(self) -> str:
        """Look again and again; why it has ended."""
        while True:
            rest = self._look()
            if self.full:
                return "everybody is in"
            left = self.end - self.machine.clock.now()
            if left > 0:
                self.machine.clock.sleep(min(rest, left))
            if self.machine.clock.now() >= self.end:
                return "the time is up"

    def close(self, why: str) -> None:
        """Tell people how it has ended."""
        who = f": {', '.join(self.let_in)}" if self.let_in else ""
        doubt = f"; look whether {', '.join(sorted(self.unsure))} is in" if self.unsure else ""
        trouble = f"; at last {self.trouble}" if self.trouble else ""
        self._say(f"closed, {why}: {len(self.let_in)} of {self.window.count} let in{who}{doubt}{trouble}")

    def _look(self) -> float:
        """Let in who is there; seconds until the next look."""
        self.machine.calls.begin(patient=False)
        try:
            members = self.machine.require_controller().members(self.machine.network_id)
            self.members = dict(members)
            self._let_in(members)
            names.remember(self.machine, self.members.values())
        except ZtgateError as error:
            return self._failed(error)
        self.trouble, self.failures = "", 0
        return self.pause

    def _let_in(self, members: Mapping[str, Member]) -> None:
        arrived = [node for node in sorted(self.unsure) if node in members and members[node].authorized]
        for node in arrived:
            self._arrived(members[node])
        # Who was let in by somebody else and is put out again later is not for us to let in.
        self.known |= {node for node, member in members.items() if member.authorized}
        open_to = self.window.named - set(self.let_in)
        # Those in doubt first: with them the number may be reached.
        for node in sorted(newcomers(members, self.known, open_to), key=lambda n: n not in self.unsure):
            if self.full or self.machine.clock.now() >= self.end:
                return
            self._admit(members[node], members)

    def _admit(self, member: Member, members: Mapping[str, Member]) -> None:
        node, prefix = member.node, self.window.prefix
        name = free_name(prefix, members) if prefix and not member.name else ""

        def plan(now: Member | None) -> Settings:
            if now is None or (now.refused and node not in self.window.named):
                return {}
            return admit.plan(now, name)

        self.unsure.add(node)
        after = amend.member(self.machine, node, plan, "it asked while the window is open")
        if after and after.authorized:
            self._arrived(after)
        self.unsure.discard(node)

    def _arrived(self, member: Member) -> None:
        node = member.node
        self.members[node] = member
        self.unsure.discard(node)
        self.known.add(node)
        self.let_in.append(node)
        name = f" as {member.name}" if member.name else ""
        self._say(f"let in {node}{name}, {len(self.let_in)} of {self.window.count}")
        self._note()

    def _failed(self, error: ZtgateError) -> float:
        """The window stays open; the longer it fails the more seldom it is asked."""
        if error.message != self.trouble:
            self.trouble = error.message
            self._say(f"{error.message}: asking again")
        self.failures += 1
        asked_for = error.asked_for if isinstance(error, UnavailableError) else 0.0
        return max(asked_for, min(LONGEST_PAUSE, self.pause * 1.5**self.failures))

    def _say(self, line: str) -> None:
        text = f"enrol: {line}"
        self.machine.console.announce(text)
        admit.journal(self.machine, text)

    def _note(self) -> None:
        """For `ztgate status`, in /run, which a power cut empties. The window can do without."""
        data = {
            "pid": os.getpid(),
            "until": self.end,
            "count": self.window.count,
            "let_in": self.let_in,
        }
        with suppress(OSError):
            store.write(_file(self.machine.paths), json.dumps(data).encode())


def _file(paths: Paths) -> Path:
    return paths.run_dir / "enrol.json"


@contextmanager
def _stoppable() -> Iterator[None]:
    """Being ended by systemd, or by a lost connection, is like ^C: it is said how the window has closed."""

    def stop(number: int, _: object) -> None:
        raise Stopped(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # nohup
    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


@contextmanager
def _alone(machine: Machine) -> Iterator[None]:
    """Two windows would let in more than either says."""
    with store.alone(machine.paths.run_dir / "enrol.lock") as alone:
        if not alone:
            pid = store.read_json(_file(machine.paths)).get("pid", "")
            raise ZtgateError(
                "an enrol window is open already", f"`ztgate status` shows it; kill {pid or 'it'} closes it"
            )
        yield
