"""`ztgate apply`: reconcile until the gateway is ready or somebody has to do something."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from . import alive, configfile, reconcile, report, state, store
from . import withdraw as leaving
from .controllers.open import open_controller
from .errors import WaitingError, ZtgateError, in_words
from .machine import Machine
from .secret import Secret
from .steps import check_clock
from .steps import wifi as steps_wifi
from .wait import pauses

log = logging.getLogger("ztgate")

READY, FAILED, WAITING = 0, 1, 3


def apply(machine: Machine, *, once: bool, token: Secret | None = None, again: bool = False) -> int:
    """The exit status; with once=True a single round. A given token takes the configured one's place.

    again=True takes a network up that was withdrawn from.
    """

    def round_() -> None:
        _mount_fat(machine)
        found = configfile.with_token(configfile.find(machine.paths), token)
        left = state.load(machine.paths).withdrawn
        if left == found.config.network and token is None and not again:
            report.withdrawn(machine, left)
            return
        outcome = reconcile.reconcile(machine, found, token is not None)
        if machine.dry_run:
            machine.catch_up()
            log.info("nothing to do" if not machine.performed else "that is the plan")
        else:
            report.ready(machine, outcome)
            machine.catch_up()

    return _until_done(machine, round_, once=once)


def withdraw(machine: Machine, *, token: Secret | None = None) -> int:
    """Undo at the controller what this gateway did there; the exit status."""

    def round_() -> None:
        config = configfile.with_token(configfile.find(machine.paths), token).config
        before = state.load(machine.paths)
        machine.network_id = config.network
        if config.controller.kind == "none":
            leaving.run_by_hand(machine, config, machine.service.node(), before)
        else:
            check_clock.run(machine)
            machine.controller = open_controller(config.controller, machine.paths, machine.calls)
            leaving.run(machine, config, machine.service.node())
        if not machine.dry_run:
            state.save(machine.paths, leaving.state_afterwards(config.network, before))
            store.remove_kept(machine.paths.ledger)
            machine.paths.members.unlink(missing_ok=True)
            report.withdrawn(machine, config.network)

    return _until_done(machine, round_, once=True)


def _until_done(machine: Machine, round_: Callable[[], None], *, once: bool) -> int:
    """Rounds until one neither waits nor fails; whatever it was is reported here."""
    with _alone(machine):
        for pause in pauses(1.0, 10.0):
            alive.begin()
            if not machine.dry_run:
                machine.paths.changed.unlink(missing_ok=True)  # what has changed is seen from here on
            machine.todo = ()
            machine.calls.begin(patient=not once)
            ended = _ended(round_)
            # The disk may be full or broken: then there may be no writing about it either.
            with suppress(OSError):
                machine.calls.end(ended)
            if ended is None:
                return READY
            if not isinstance(ended, WaitingError):
                with suppress(OSError):
                    report.failed(machine, ended.message, ended.hint)
                return FAILED
            report.waiting(machine, ended.message, ended.hint)
            if once:
                return WAITING
            machine.clock.sleep(machine.calls.rest(pause))
    raise AssertionError("pauses() never ends")


def _ended(round_: Callable[[], None]) -> ZtgateError | None:
    """What ended a round early, in words; None for one that came to its end."""
    try:
        round_()
    except Exception as error:
        return in_words(error)
    return None


def wifi(machine: Machine, interface: str) -> int:
    """Write a wireless interface's configuration for the unit that asks; 1 if there is none to write."""
    try:
        configured = configfile.find(machine.paths).config.wifi
    except WaitingError:  # without a gateway.yaml, Imager's wizard may have said something
        configured = None
    text = steps_wifi.wanted(configured, machine.paths)
    if not text:
        return 1
    store.write(machine.paths.wifi(interface), text.encode(), 0o600)
    return 0


def _mount_fat(machine: Machine) -> None:
    """Try again what systemd gave up on: a slow disk, or a card that was put in late."""
    if not machine.dry_run and machine.paths.fat.is_dir() and not machine.paths.fat.is_mount():
        machine.probe(("systemctl", "--no-block", "start", "boot-firmware.mount"))


@contextmanager
def _alone(machine: Machine) -> Iterator[None]:
    """Two at a time would undo each other's work."""
    with store.alone(machine.paths.run_dir / "lock") as alone:
        if not alone:
            raise ZtgateError("another `ztgate apply` is at work", "journalctl -fu ztgate shows it")
        yield
