"""What a small board in a home goes through. Each takes long and seldom finds anything: `make soak`."""

from pathlib import Path

import pytest

from lab.checks import want
from lab.machine import PANIC
from lab.retry import retry
from lab.world import FAILED, LIVED_IN, READY, WAITING, World

from .conftest import Make

pytestmark = [pytest.mark.soak, pytest.mark.standin]


def test_a_board_without_a_clock_whose_power_fails_while_its_root_grows(
    world: World, make: Make, pi_image: Path
) -> None:
    """It is 1970 until NTP answers; the second boot finishes what the first one began."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=pi_image, clock="1970-01-01T00:00:00")
    gateway.start()
    gateway.expect("Grow the root file system")
    gateway.cut_power()
    gateway.start()
    assert gateway.expect(READY, never=FAILED)["network"] == nwid
    shell = world.shell()
    retry(lambda: shell.run("test -e /var/lib/ztgate/grown"), 60, "the root's growth")
    assert int(shell.run("df --output=size --block-size=1 /").split()[1]) > 3 << 30
    assert int(shell.run("date +%Y")) >= 2026


def test_ten_minutes_without_a_network(world: World, make: Make, pi_image: Path) -> None:
    """Whoever plugs the cable in late has a gateway all the same; until then it says what it lacks."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=pi_image)
    gateway.start()
    gateway.link(up=False)
    assert "cable" in gateway.expect(WAITING, never=f"{FAILED}|{READY}")["reason"]
    gateway.stays(600, never=f"{FAILED}|{READY}")
    gateway.link(up=True)
    assert gateway.expect(READY, never=FAILED)["network"] == nwid


def test_the_cable_is_pulled_during_set_up(world: World, make: Make, pi_image: Path) -> None:
    """In the moment in which the controller hears of it for the first time; a minute later it is back."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=pi_image)
    gateway.start()
    retry(lambda: want(bool(world.controller.members(nwid)), "it is not there"), 600, "the new member")
    gateway.link(up=False)
    gateway.stays(60, never=f"{FAILED}|{READY}")
    gateway.link(up=True)
    assert gateway.expect(READY, never=FAILED)["network"] == nwid


def test_a_board_that_hangs_is_reset(world: World, make: Make, pi_image: Path) -> None:
    """A kernel that has panicked, and is told not to restart by itself: the watchdog does it."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=pi_image, watchdog=True)
    gateway.start()
    gateway.expect(READY, never=FAILED)
    shell = world.shell()
    state = "/sys/class/watchdog/watchdog0/state"
    retry(lambda: want(shell.run(f"cat {state}").strip() == "active", "it is not armed"), 60, "the watchdog")
    shell.run("sync; sysctl -qw kernel.panic=0; (sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    gateway.expect(PANIC)
    gateway.expect(f"end {PANIC}")  # the kernel says it twice
    assert gateway.expect(READY, never=FAILED)["network"] == nwid
