"""Loads a firewall, and is killed before its nth action (-1: not at all): killed.py ROOT N."""

import os
import signal
import sys
from pathlib import Path

from ztgate import config
from ztgate.actions import Action
from ztgate.machine import Machine
from ztgate.paths import Paths
from ztgate.steps import load_firewall

from tests.netns.gateway_world import NET, SITUATION


class Doomed(Machine):
    """A machine whose power over itself ends."""

    left = 0

    def _perform(self, action: Action) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super()._perform(action)


if __name__ == "__main__":
    machine = Doomed(Paths(Path(sys.argv[1])))
    machine.left = int(sys.argv[2])
    load_firewall.run(machine, config.load(NET + "firewall: {allow: [tcp/443]}\n", "test"), SITUATION)
