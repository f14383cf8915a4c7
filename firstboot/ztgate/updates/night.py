"""A night's updates: look, keep what is there, install, watch the gateway, and go back where it suffers.

What is done is noted before it is begun, so `ztgate update --check` goes on wherever the power was cut.
Programs and libraries come first and kernels after them, on their own: a bad kernel takes none of them back.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from .. import store
from ..errors import ZtgateError, in_words
from ..machine import Machine
from . import book, outdated, packages, repack, trial, words
from .book import CHECKING, INSTALLING, UNDOING, Change, History, Pending
from .health import Observer, before
from .judge import BAD, GOOD, LINE, Judge, Verdict

log = logging.getLogger("ztgate")
SERVICE = "ztgate-update.service"
PAUSE = 5.0  # seconds between two looks
# What would start a service that is just being replaced, or count it as healed.
WATCHERS = ("ztgate-watch.path", "ztgate.timer", "ztgate-watch.service")
DID_NOT_START = "with it the machine did not start, or started twice before it was proved"
UNDONE = "ztgate itself did not run any more"


def run(machine: Machine, *, only_check: bool = False) -> int:
    """The exit status. only_check: bring to an end what is under way, and look for nothing new."""
    with store.alone(machine.paths.run_dir / "update-lock") as alone:
        if not alone:
            return 0  # the one that is at work does it
        going = book.pending(machine.paths)
        if going and not finish(machine, going):
            return 0
        problem = "" if only_check else _look_for_updates(machine)
    return 1 if problem else 0


def by_hand(machine: Machine) -> int:
    """`ztgate update` in a shell: who loses the connection loses nothing. The service's exit status."""
    status, _ = machine.probe(("systemctl", "start", SERVICE), timeout=packages.LONGEST)
    for line in words.lines(book.shown(machine.paths).get("updates", {})):
        log.info("updates: %s", line)
    return status


def retry(machine: Machine) -> int:
    """What was held may come again."""
    book.note(machine.paths, replace(book.history(machine.paths), held={}, suspects={}, taken_back={}))
    packages.hold(machine, {})
    log.info("nothing is held any more: the next quiet hour, or `ztgate update`, tries it again")
    return 0


def _look_for_updates(machine: Machine) -> str:
    """Install what there is; what is in the way of that is noted, and returned or passes on."""
    paths = machine.paths
    waiting: tuple[str, ...] = ()
    problem = ""
    try:
        packages.mended(machine)
        problem = packages.refresh(machine)
        for part in divided(packages.planned(machine), book.history(paths).suspects):
            changes = packages.exactly(machine, part)
            if not changes:
                continue  # another one has brought it
            if packages.with_kernel(changes) and not trial.can(paths):
                waiting = tuple(str(change) for change in changes if change.old)
            elif not finish(machine, begin(machine, changes)):
                break  # the machine starts anew, and goes on then
    except Exception as error:
        raised = in_words(error)
        problem = raised.message
        raise raised from None
    finally:
        known = book.history(paths)
        book.note(paths, replace(known, looked=time.time(), problem=problem, waiting=waiting))
    return problem


def divided(changes: tuple[Change, ...], suspects: dict[str, str]) -> list[tuple[Change, ...]]:
    """Sets that are installed and looked at on their own: the unsuspected, each suspect, at last kernels."""
    kernels = tuple(change for change in changes if packages.is_kernel(change.name))
    alone = [
        change for change in changes if change not in kernels and suspects.get(change.name) == change.new
    ]
    others = tuple(change for change in changes if change not in (*kernels, *alone))
    parts = [others, *((change,) for change in alone), kernels]
    return [part for part in parts if any(change.old for change in part)]


def begin(machine: Machine, changes: tuple[Change, ...]) -> Pending:
    """Fetch them, and keep what they replace; nothing has changed when this fails."""
    paths = machine.paths
    log.info("updates: %s", ", ".join(map(str, changes)))
    book.end(paths)
    paths.update_old.mkdir(parents=True)
    found = os.statvfs(paths.update_old)
    packages.check_room(found.f_bavail * found.f_frsize, packages.room(machine, changes))
    packages.install(machine, changes, only_fetch=True)
    for change in changes:
        if change.old:
            repack.pack(machine, change.name, paths.update_old / f"{change.name.replace(':', '_')}.deb")
    machine.run(("sync",))
    going = Pending(INSTALLING, time.time(), os.uname().release, _boot(machine), changes, before(machine))
    book.begin(paths, going)
    if not trial.begin(paths, going.kernel) and packages.with_kernel(changes):
        book.end(paths)
        raise ZtgateError(f"the kernel that runs, {going.kernel}, is not in /boot: no other one can be tried")
    return _installed(machine, going)


def _installed(machine: Machine, going: Pending) -> Pending:
    """Install; what comes of it is noted."""
    try:
        with _undisturbed(machine):
            packages.install(machine, going.changes)
            machine.run(("sync",))
    except ZtgateError as error:
        going = going.now(UNDOING, error.message)
    else:
        going = replace(going.now(CHECKING), boot=_boot(machine))
    book.begin(machine.paths, going)
    return going


def finish(machine: Machine, going: Pending) -> bool:
    """Bring an update to its end, whatever that is; False if the machine has to start anew for that."""
    paths = machine.paths
    if paths.update_undone.exists() and going.phase != UNDOING:
        going = going.now(UNDOING, UNDONE)
    if going.phase != UNDOING and trial.fell_back(paths):
        going = going.now(UNDOING, DID_NOT_START)
    if going.phase == INSTALLING:
        going = _after_a_power_cut(machine, going)
    if going.phase == CHECKING:
        if why := _needs_reboot(machine, going):
            trial.again(paths)
            return _reboot(machine, why)
        verdict = watch(machine, going)
        if verdict.kind == GOOD:
            _settle(machine, going)
            return True
        going = going.now(UNDOING, verdict.why)
    book.begin(paths, going)
    return undo(machine, going)


def _after_a_power_cut(machine: Machine, going: Pending) -> Pending:
    try:
        packages.mended(machine)
    except ZtgateError as error:
        return going.now(UNDOING, error.message)
    return _installed(machine, going)


def _needs_reboot(machine: Machine, going: Pending) -> str:
    """Why it has to start anew; services that run from replaced files are started anew here."""
    fresh = going.boot == _boot(machine)
    if fresh and packages.with_kernel(going.changes):
        return "a new kernel"
    found = _renewed(machine)
    return outdated.reboot(machine, found) if fresh else ""


def _renewed(machine: Machine) -> set[str]:
    """Start anew what runs from replaced files and can be; the units that do or did."""
    found = outdated.units(machine.paths.processes)
    for name in outdated.restart(found):
        log.info("%s runs from files that were replaced: it is started anew", name)
        machine.probe(("systemctl", "restart", name))
    return found


def _boot(machine: Machine) -> str:
    """The kernel's id of this boot."""
    return (store.read_text(machine.paths.boot_id) or "").strip()


def _reboot(machine: Machine, why: str) -> bool:
    machine.console.announce(f"updates: the machine starts anew: {why}")
    machine.run(("systemctl", "--no-block", "reboot"))
    return False


def watch(machine: Machine, going: Pending) -> Verdict:
    """Look until the update is known to be good or bad. While the line is dead neither is, however long."""
    clock = machine.clock
    observer = Observer(machine, going.before)
    machine.probe(("systemctl", "--no-block", "start", "ztgate.service"))
    judge = Judge(going.before, clock.now())
    said = ""
    while True:
        verdict = judge.verdict(observer.look(), clock.now())
        if verdict.kind in (GOOD, BAD):
            return verdict
        if verdict.kind == LINE and said != verdict.why:
            # It runs: that the power is cut while the line is dead is nothing against it.
            trial.again(machine.paths)
            machine.console.announce(f"updates: {verdict.why}: nothing is taken back for that")
        said = verdict.why
        clock.sleep(PAUSE)


def _settle(machine: Machine, going: Pending) -> None:
    """It is good: this is what is gone back to from now on."""
    trial.end(machine.paths)
    known = book.history(machine.paths)
    held, suspects = (_without(some, going) for some in (known.held, known.suspects))
    packages.hold(machine, held)
    book.note(machine.paths, replace(known, last=_entry(going), held=held, suspects=suspects))
    book.end(machine.paths)
    if packages.with_kernel(going.changes):
        packages.purge(machine, superseded(packages.kernels(machine), {going.kernel, os.uname().release}))
    packages.forget_fetched(machine)
    machine.console.announce(f"updates: installed: {words.few(list(map(str, going.changes)))}")


def superseded(installed: tuple[str, ...], needed: set[str]) -> list[str]:
    """Packages of kernels that are neither the one that runs nor the one before it."""
    return [name for name in installed if not any(name.endswith(f"-{release}") for release in needed)]


def undo(machine: Machine, going: Pending) -> bool:
    """Everything that this update has changed is as it was, and stays so until there is a newer version."""
    paths = machine.paths
    running = os.uname().release
    if packages.with_kernel(going.changes) and running != going.kernel and not going.returning:
        trial.go_back(paths)
        book.begin(paths, replace(going, returning=True))
        return _reboot(machine, f"back to the kernel from before: {going.why}")
    fresh = [change.name for change in going.changes if not change.old and packages.is_kernel(change.name)]
    with _undisturbed(machine):
        packages.back(machine)
        packages.purge(machine, [name for name in fresh if not name.endswith(f"-{running}")])
    known = blamed(book.history(paths), going)
    packages.hold(machine, known.held)
    book.note(paths, replace(known, taken_back={**_entry(going), "why": going.why}))
    trial.end(paths)
    book.end(paths)
    machine.console.announce(f"updates: taken back: {words.few(list(map(str, going.changes)))}: {going.why}")
    found = _renewed(machine)
    machine.probe(("systemctl", "--no-block", "start", "ztgate.service"))
    if why := outdated.reboot(machine, found):
        return _reboot(machine, why)
    return True


def blamed(known: History, going: Pending) -> History:
    """One package is held; of several each is tried alone next time, as it takes one bad one only."""
    replaced = {change.name: change.new for change in going.changes if change.old}
    if len(replaced) > 1 and not packages.with_kernel(going.changes):
        first = {name: new for name, new in replaced.items() if known.suspects.get(name) != new}
        again = {name: new for name, new in replaced.items() if name not in first}
        held = {**known.held, **again}
        return replace(known, suspects={**_without(known.suspects, going), **first}, held=held)
    return replace(known, suspects=_without(known.suspects, going), held={**known.held, **replaced})


def _without(versions: dict[str, str], going: Pending) -> dict[str, str]:
    names = {change.name for change in going.changes}
    return {name: version for name, version in versions.items() if name not in names}


def _entry(going: Pending) -> dict[str, object]:
    return {"at": going.at, "changes": [str(change) for change in going.changes]}


@contextmanager
def _undisturbed(machine: Machine) -> Iterator[None]:
    """Nobody heals what is being replaced. ztgate-update.service starts them too, if this one is killed."""
    machine.probe(("systemctl", "stop", *WATCHERS, "ztgate.service"))
    try:
        yield
    finally:
        machine.probe(("systemctl", "start", *WATCHERS))
