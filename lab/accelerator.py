"""Whether guests run under KVM here: found out by running one, as /dev/kvm being there tells nothing."""

import json
from pathlib import Path

from lab import disk
from lab.errors import LabError
from lab.machine import Machine
from lab.netns import Namespace
from lab.qemu import Options, kvm_opens

# What a kernel says on the serial console once it runs; a boot loader alone does not prove KVM.
KERNEL_RUNS = r"Linux version|systemd\["
SECONDS = 25


def choose(image: Path, host: Namespace, work: Path) -> str:
    """``kvm`` where ``image``'s own kernel starts under it, ``tcg`` otherwise.

    The verdict is kept in ``work`` for the lab's later machines.
    """
    memo = work / "accelerator.json"
    if memo.exists():
        return str(json.loads(memo.read_text()))
    native = disk.platform(image)["architecture"] == "amd64"  # as the lab's hosts are
    verdict = "kvm" if native and kvm_opens() and _runs(image, host, work / "kvm-probe") else "tcg"
    work.mkdir(parents=True, exist_ok=True)
    memo.write_text(json.dumps(verdict))
    return verdict


def _runs(image: Path, host: Namespace, work: Path) -> bool:
    options = Options(
        disk=disk.personal(image, None, work), sockets=work, console_log=work, accelerator="kvm"
    )
    machine = Machine(options, host, work)
    try:
        machine.start()
        machine.expect(KERNEL_RUNS, SECONDS)
    except LabError:
        return False
    finally:
        machine.close()
    return True
