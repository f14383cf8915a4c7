"""Looks as `ztgate observe` does, inside a namespace: look_members.py ROOT ZEROTIER_HOME writes to ROOT."""

import sys
import time
from pathlib import Path

from ztgate.machine import Machine
from ztgate.observe import gather
from ztgate.page import facts
from ztgate.paths import Paths

paths = Paths(Path(sys.argv[1]))
paths.zerotier_home = Path(sys.argv[2])
paths.interfaces = Path("/sys/class/net")
machine = Machine(paths)
seen = gather.facts(machine, time.time())
(paths.root / "facts.json").write_bytes(facts.dump(seen))
(paths.root / "zerotier.prom").write_text(gather.zerotier_metrics(machine))
