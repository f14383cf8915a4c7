"""How a boot's instructions are divided: by the console's marks, and by what systemd counted for units."""

import json

import pytest

from lab import bootcost
from lab.bootcost import Boot, Phase
from lab.errors import LabError

MARKS = [Phase("firmware", 100), Phase("boot loader", 300), Phase("kernel", 600), Phase("initrd", 1000)]
SAID = """\
CPUUsageNSec=500 Id=ztgate-watch.service
CPUUsageNSec=400 Id=ztgate-dns.service
CPUUsageNSec=900 Id=ztgate.service
Id=cloud-config.service CPUUsageNSec=30
CPUUsageNSec=200 Id=zerotier-one.service
CPUUsageNSec=700 Id=ssh.service
CPUUsageNSec=18446744073709551615 Id=nobody.service
Id=basic.target
CPUUsageNSec=8000 Id=system.slice
{"UNIT":"cloud-init-main.service","CPU_USAGE_NSEC":"2000"}
{"UNIT":"ztgate.service","CPU_USAGE_NSEC":"1500"}
{"UNIT":"ztgate.service","CPU_USAGE_NSEC":"1100"}
"""


def test_what_the_guest_says_is_understood() -> None:
    used = bootcost.read(SAID)
    assert used["cloud-init-main.service"] == 2000
    assert used["ztgate.service"] == 1500, "the first run is the one that ends in `ready`"
    assert "nobody.service" not in used
    assert not {"ssh.service", "ztgate-watch.service"} & used.keys(), "they came afterwards"


def test_the_phases_are_all_of_the_boot() -> None:
    boot = bootcost.divided(MARKS, 12000, bootcost.read(SAID))
    assert sum(phase.instructions for phase in boot.phases) == boot.total == 12000
    assert {phase.name: phase.instructions for phase in boot.phases} == {
        "firmware": 100,
        "boot loader": 200,
        "kernel": 300,
        "initrd": 400,
        "cloud-init": 2030,
        "ZeroTier": 200,
        "ztgate": 1900,
        bootcost.REST: 11000 - 2030 - 200 - 1900,
    }


def test_the_table_has_both_boots() -> None:
    boot = Boot((Phase("kernel", 2_000_000),), 3_000_000, {"a.service": 1_000_000})
    first = json.loads(
        json.dumps({"phases": [{"name": "kernel", "instructions": 5_000_000}], "total": 7_000_000})
    )
    later = {
        "phases": [{"name": p.name, "instructions": p.instructions} for p in boot.phases],
        "total": boot.total,
    }
    shown = bootcost.table({**first, "later": later, "idle_memory_mb": 71.5}).splitlines()
    assert shown[1].split() == ["kernel", "5", "2"]
    assert shown[2].split()[-2:] == ["7", "3"]
    assert "71.5 MB" in shown[3]


@pytest.mark.parametrize("argument", ["no-such.img"])
def test_an_image_that_is_not_there_is_named(argument: str) -> None:
    with pytest.raises(LabError, match=argument):
        bootcost.main([argument])
