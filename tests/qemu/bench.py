"""A gateway on which things go wrong in turn, and a member that goes out through it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.machine import Machine, Shell
from lab.member import Member
from lab.retry import retry
from lab.world import FAILED, LIVED_IN, READY, World, echo_url

PATIENCE = 120  # seconds; a scenario's own limit is the one that counts


@dataclass
class Bench:
    """The gateway, and a member that goes out through it."""

    world: World
    nwid: str
    gateway: Machine
    shell: Shell
    laptop: Member
    names: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, timeout: float = 180) -> str:
        """A shell command on the gateway; {zt} and {wan} are its interfaces."""
        for name, value in self.names.items():
            command = command.replace(f"{{{name}}}", value)
        return self.shell.run(command, timeout)

    def healed(self) -> dict[str, int]:
        """How often each, as `ztgate status` has it."""
        found = re.search("healed since the boot: (.*)", self.run("ztgate status"))
        return {
            kind: int(count) for kind, count in re.findall("([a-z-]+) ([0-9]+)", found[1] if found else "")
        }

    def served(self, *families: int) -> None:
        """The member reaches the internet; over both families, if none is named."""
        for family in families or (4, 6):
            self.laptop.get(echo_url(family), timeout=3)

    def starts(self) -> None:
        """It is switched on, and ready."""
        self.gateway.start()
        self.gateway.expect(READY, never=FAILED)

    def loses_power(self) -> None:
        """In this moment."""
        self.shell.leave()
        self.gateway.cut_power()


def made(world: World, name: str, **options: Any) -> Iterator[Bench]:
    """For a fixture. options: of the machine."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = world.gateway(name, world.config(nwid), **options)
    gateway.start()
    gateway.expect(READY, never=FAILED)
    laptop = world.member("laptop")
    world.controller.authorize(nwid, laptop.node.address)
    laptop.join(nwid)
    laptop.wait_tunnelled(nwid)
    bench = Bench(world, nwid, gateway, world.shell(), laptop)
    bench.names = {"zt": bench.run("ls /sys/class/net | grep ^zt").strip(), "wan": "eth0"}
    retry(bench.served, PATIENCE, "the member, at first")
    yield bench
    gateway.close()
