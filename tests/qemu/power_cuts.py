"""The power fails at random moments, several times in a row: afterwards all is as if it had not.

A machine that is killed keeps on its disk what it has written and loses the rest, as if its plug were pulled.
"""

import json
import shlex
from pathlib import Path

from lab.checks import want
from lab.machine import Machine
from lab.retry import retry
from lab.scenario import Scenario
from lab.world import FAILED, LIVED_IN, READY, World

from .conftest import Make, member_goes_out

# Seconds of wall-clock time from power-on until members are served, under emulation beside other machines.
WITHIN = 400
# The same until it rests: a run of an emulated Pi takes half a minute there, and others follow it.
CALM = 240
FIRST_BOOT = 60.0  # seconds: about what a first boot takes on a free processor
FIRST_CUTS, LATER_CUTS = 5, 14
ROUTES = {"0.0.0.0/0", "::/0", "10.66.0.0/24", "192.168.77.0/24"}
STATE = ("/var/lib/ztgate", "/run/ztgate")


class Plug:
    """The power of a gateway in a network of its own, and who has come to that network as the gateway."""

    def __init__(self, world: World, scenario: Scenario, machine: Machine, nwid: str) -> None:
        self.world, self.scenario, self.machine, self.nwid = world, scenario, machine, nwid
        self.nodes: set[str] = set()

    def cut(self, spread: float) -> None:
        """Switch it on and cut the power within ``spread`` seconds."""
        self.machine.start()
        self.machine.stays(self.scenario.random.uniform(0, spread), never=FAILED)
        self.cut_now()

    def cut_now(self) -> None:
        """Whatever it is doing."""
        self.machine.cut_power()
        self.look()
        cuts = int(self.scenario.record.figures.get("power cuts", 0)) + 1
        self.scenario.figure("power cuts", cuts)

    def look(self) -> None:
        """Who has come; whether the phone goes out is tried in between."""
        phone = self.world.member("phone").node.address
        self.nodes |= set(self.world.controller.members(self.nwid)) - {phone}

    def back(self) -> float:
        """Switch it on; the seconds until it is ready by itself, with all that makes it this gateway."""
        with self.scenario.recovery():
            self.machine.start()
            assert self.machine.expect(READY, timeout=WITHIN, never=FAILED)["network"] == self.nwid
        self.look()
        if len(self.nodes) != 1:
            self.scenario.lost(f"the identity: the controller has seen {sorted(self.nodes)}")
        routes = {route["target"] for route in self.world.controller.network(self.nwid)["routes"]}
        if missing := ROUTES - routes:
            self.scenario.lost(f"routes: {sorted(missing)}")
        self.files_are_whole()
        member_goes_out(self.world, self.nwid)
        return self.scenario.record.recovered[-1]

    def files_are_whole(self) -> None:
        """Nothing failed, and no file of state is half of one."""
        shell = self.world.shell()
        assert shell.run("systemctl list-units --failed --no-legend --plain") == ""
        names = shell.run(f"find {' '.join(STATE)} -name '*.json' -size +0").split()
        assert names, "no state at all"
        for name in names:
            json.loads(shell.run(f"cat {shlex.quote(name)}"))
        # Again, if a run of its own is at work just now.
        retry(lambda: want("nothing to do" in shell.run("ztgate plan"), "it has a plan"), CALM, "its calm")
        shell.leave()


def plugged_in(world: World, scenario: Scenario, make: Make, image: Path | None) -> Plug:
    """A gateway that was never switched on."""
    nwid = world.controller.create_network(**LIVED_IN)
    return Plug(world, scenario, make(world.config(nwid), image=image), nwid)


def first_boots(world: World, scenario: Scenario, make: Make, image: Path | None, short: int) -> None:
    """Cut before it has ever been ready, or soon after; later and later, as processors are seldom free."""
    for _ in scenario.rounds(short):
        plug = plugged_in(world, scenario, make, image)
        for number in range(FIRST_CUTS):
            plug.cut(FIRST_BOOT * (1 + number / 2))
        plug.back()
        plug.machine.cut_power()


def later_boots(world: World, scenario: Scenario, make: Make, image: Path | None, short: int) -> None:
    """Cut once while it works, and fourteen times while it boots, or soon after."""
    plug = plugged_in(world, scenario, make, image)
    spread = plug.back()
    for _ in scenario.rounds(short):
        plug.cut_now()
        for _ in range(LATER_CUTS):
            plug.cut(spread)
        spread = plug.back()
