"""`ztgate` with its files below a folder: run_ztgate.py ROOT VERB ..."""

import functools
import sys
from pathlib import Path

from ztgate import __main__
from ztgate.machine import Machine
from ztgate.paths import Paths

vars(__main__)["Machine"] = functools.partial(Machine, Paths(Path(sys.argv[1])))
sys.exit(__main__.main(sys.argv[2:]))
