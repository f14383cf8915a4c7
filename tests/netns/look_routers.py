"""The step that drops routers which are gone, inside a namespace: look_routers.py ROOT."""

import sys
from pathlib import Path

from ztgate.machine import Machine
from ztgate.paths import Paths
from ztgate.steps import lost_routers

if __name__ == "__main__":
    lost_routers.run(Machine(Paths(Path(sys.argv[1]))))
