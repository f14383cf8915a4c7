"""What a boot costs until the gateway is ready, in instructions that its processor executes.

    ./build.py run python -m lab.bootcost [IMAGE] [--zerotier DEB]

Seconds depend on the machine that emulates; instructions do not. The image boots twice as a VPS would, with
cloud-init and its user data on a drive. out/bench/boot.json has what the table shows.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import disk, process, sandbox
from lab.errors import LabError
from lab.machine import Machine
from lab.world import FAILED, LIVED_IN, READY, World

Json = dict[str, Any]
OUT = disk.ROOT / "out" / "bench"
MEMORY = 512  # MiB, as the smallest machines have

# What ends each phase, on the console. The kernel can show nothing before it has unpacked itself.
MARKS = (
    ("firmware", r"[\s\S]"),
    ("boot loader", "Linux version"),
    ("kernel", "Run /init as init process"),
    ("initrd", r"systemd\[1\]: "),
)
# Then come units, by the beginnings of their names; the first that fits counts.
PARTS = (("cloud-init", ("cloud-",)), ("ZeroTier", ("zerotier-",)), ("ztgate", ("ztgate",)))
REST = "other services, systemd, and the kernel by itself"
# They run when the gateway is ready, the last two for who asks for these figures.
AFTERWARDS = (
    *("ztgate-watch", "ztgate-grow", "ztgate-cloud-init-done", "systemd-logind"),
    *("ztgate-sshkeys", "ssh"),
)

# Processor time is a count of instructions here (lab/qemu.py, COUNTED): what each unit has used and, of those
# that have ended, what systemd noted.
ASK = r"""
systemctl show '*' --property=Id,CPUUsageNSec | awk -v RS= '{ print $1, $2 }'
journalctl -b -o json --output-fields=UNIT,CPU_USAGE_NSEC MESSAGE_ID=ae8f7b866b0347b9af31fe1c80b127c0
"""
# A minute later, when it has settled, and with nobody logged in.
WEIGH = "systemctl stop ssh.service; grep -E '^Mem(Total|Available):' /proc/meminfo >/dev/console"
WEIGHED = r"MemTotal: +(?P<total>\d+) kB\s+MemAvailable: +(?P<available>\d+) kB"
SHOWN = re.compile(r"^(?:CPUUsageNSec=(\d+) Id=(\S+)|Id=(\S+) CPUUsageNSec=(\d+))$", re.MULTILINE)
NEVER = 2**64 - 1  # systemd's "not counted"
SHOWN_UNITS = 70  # of all, those that take most


@dataclass(frozen=True)
class Phase:
    """A part of a boot, and the instructions that it took."""

    name: str
    instructions: int


@dataclass(frozen=True)
class Boot:
    """A boot from power-on to `ztgate: ready`."""

    phases: tuple[Phase, ...]
    total: int
    units: Mapping[str, int]


def read(said: str) -> dict[str, int]:
    """What `ASK` printed, by unit. Its first run counts; others came after the gateway was ready."""
    runs: dict[str, list[int]] = {}
    for line in said.splitlines():
        if line.startswith("{"):
            note = json.loads(line)
            runs.setdefault(note["UNIT"], []).append(int(note["CPU_USAGE_NSEC"]))
    for match in SHOWN.finditer(said):
        count, name = int(match[1] or match[4]), match[2] or match[3]
        if name.endswith(".service") and count != NEVER and count not in runs.get(name, ()):
            runs.setdefault(name, []).append(count)
    afterwards = {f"{name}.service" for name in AFTERWARDS}
    return {name: counts[0] for name, counts in runs.items() if name not in afterwards}


def divided(marks: Sequence[Phase], total: int, units: Mapping[str, int]) -> Boot:
    """The phases of a boot: the marks' are counts from power-on, units' are what they used."""
    counts = [0, *(mark.instructions for mark in marks)]
    phases = [
        Phase(mark.name, mark.instructions - before) for mark, before in zip(marks, counts, strict=False)
    ]
    left = total - counts[-1]
    named = 0
    for name, beginnings in PARTS:
        part = sum(count for unit, count in units.items() if unit.startswith(beginnings))
        phases.append(Phase(name, part))
        named += part
    largest = dict(sorted(units.items(), key=lambda item: -item[1])[:SHOWN_UNITS])
    return Boot((*phases, Phase(REST, left - named)), total, largest)


def boot(world: World, machine: Machine) -> Boot:
    """Switch it on, and count until it is ready."""
    machine.start()
    marks = []
    for name, pattern in MARKS:
        machine.expect(pattern, never=FAILED)
        marks.append(Phase(name, machine.instructions()))
    machine.expect(READY, never=FAILED)
    total = machine.instructions()
    return divided(marks, total, read(world.shell().run(ASK, timeout=600)))


def memory(world: World, machine: Machine) -> float:
    """What is in use, in MB: all that the kernel could not give to a program that asks for it."""
    shell = world.shell()
    shell.run(
        f"systemd-run --quiet --on-active=60 --timer-property=AccuracySec=1s sh -c {shlex.quote(WEIGH)}"
    )
    shell.leave()
    found = machine.expect(WEIGHED)
    return round((int(found["total"]) - int(found["available"])) * 1024 / 1e6, 1)


def measure(image: Path, zerotier: Path, work: Path) -> Json:
    """Boot it twice, and say what it took."""
    process.run(["rm", "-rf", work])
    with World(image, zerotier, work) as world:
        nwid = world.controller.create_network(**LIVED_IN)
        file = {"path": "/etc/ztgate/gateway.yaml", "permissions": "0600", "content": world.config(nwid)}
        drive = disk.seed(work / "seed", {"write_files": [file]})
        machine = world.gateway("counted", None, seed=drive, counted=True, accelerator="tcg", memory=MEMORY)
        first = boot(world, machine)
        machine.power_off()
        later = boot(world, machine)
        in_use = memory(world, machine)
        zerotier_is = {"version": world.package.version, "stand_in": world.package.stand_in}
    return {
        "image": image.name,
        "zerotier": zerotier_is,
        **asdict(first),
        "later": asdict(later),
        "memory_mib": MEMORY,
        "idle_memory_mb": in_use,
    }


def table(result: Json) -> str:
    """The result for people, in millions of instructions."""
    rows = [
        (phase["name"], phase["instructions"], later["instructions"])
        for phase, later in zip(result["phases"], result["later"]["phases"], strict=True)
    ]
    rows.append(("until `ztgate: ready`", result["total"], result["later"]["total"]))
    lines = [f"{'millions of instructions':54}{'first boot':>12}{'later':>10}"]
    lines += [f"{name:54}{first / 1e6:12.0f}{later / 1e6:10.0f}" for name, first, later in rows]
    return "\n".join([*lines, f"memory in use: {result['idle_memory_mb']} MB"])


def main(argv: Sequence[str]) -> int:
    """Measure, print and write; the exit status."""
    parser = argparse.ArgumentParser(prog="lab.bootcost", description=__doc__)
    parser.add_argument("image", nargs="?", type=Path, default=disk.ROOT / "out/vps-amd64.img")
    parser.add_argument("--zerotier", type=Path, metavar="DEB", help="what the image has (the stand-in)")
    options = parser.parse_args(argv)
    if not options.image.is_file():
        raise LabError(f"{options.image}: there is no such image", "build it: ./build.py build vps-amd64")
    if disk.platform(options.image)["architecture"] != "amd64":
        raise LabError(f"{options.image}: only x86-64 images are counted", "name that of vps-amd64")
    if options.zerotier is None:
        made = process.run([sys.executable, disk.ROOT / "build.py", "standin"], timeout=120)
        options.zerotier = Path(made.strip().splitlines()[-1])
    image, zerotier = options.image.resolve(), options.zerotier.resolve()
    if not sandbox.inside():
        sandbox.enter([sys.executable, "-m", "lab.bootcost", str(image), "--zerotier", str(zerotier)])
    result = measure(image, zerotier, OUT / "boot-work")
    (OUT / "boot.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"bootcost: {error.message}\n{error.hint}".rstrip())
