"""QEMU's command line, as a function of what is wanted; and whether the host can run guests at full speed."""

import functools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import topology
from lab.errors import LabError

# UEFI's code and variables: packages `ovmf`, whose file names changed in 2024, and `qemu-efi-aarch64`.
UEFI = {
    "amd64": (
        (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
        (Path("/usr/share/OVMF/OVMF_CODE.fd"), Path("/usr/share/OVMF/OVMF_VARS.fd")),
    ),
    "arm64": (
        (Path("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")),
        (Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")),
    ),
}
PROGRAMS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}


# All that QEMU can emulate, but for what goes wrong or costs time. AVX: with QEMU 7.2's, ZeroTier's own
# cryptography fails, and a node never understands its controller. la57: a fifth level of page tables. svm:
# modules that nobody needs. Intel models would be slower still: the kernel isolates its page tables on them.
WITHOUT = ("avx", "avx2", "f16c", "fma", "vaes", "la57", "svm")
EMULATED_CPU = ",".join(("max", *(f"{flag}=off" for flag in WITHOUT)))


# Under emulation one processor: QEMU 7.2 runs each in a thread of its own, and now and then one executes
# what the other is just patching (the kernel's static keys); it panics with "Oops: int3".
PROCESSORS = {"tcg": 1, "kvm": 2}
# For a Raspberry Pi's image QEMU is the firmware: it starts the kernel. Mostly in its `virt` machine, which
# is quick, and has a disk and a network adapter that are fit for use.
VIRT = "raspberry-pi"
# Or in its Raspberry Pi 3 B, with the board's own kinds of card slot, USB and serial port. Its network
# adapter is on USB; with QEMU 7.2, Debian 13's own kernel (6.12) found none there, 7.3 did.
BOARD = "raspberry-pi-3b"
TREE = "bcm2837-rpi-3-b.dtb"
# A Raspberry Pi 5's serial port is an AMBA one too, but the eleventh; Linux looks no further than the first
# of a kind. The rest spares an emulated processor some seconds.
OF_A_PI = "console=ttyAMA10,115200"
ON_VIRT = "console=ttyAMA0 mitigations=off kpti=off nokaslr audit=0"
# QEMU's watchdog of that board does not count: to arm it resets the machine (hw/misc/bcm2835_powermgt.c).
# vchiq talks to the board's firmware, and has crashed where that is missing. QEMU's adapter gives itself out
# for a Linux gadget: where cdc_subset is loaded first it takes it, with another MAC address and a dead link.
ON_BOARD = "mitigations=off audit=0 systemd.watchdog_sec=off module_blacklist=vchiq,cdc_subset"


# A card that is handed frames as they would be on a wire: checksums filled in, none longer than the MTU.
WHOLE_FRAMES = "guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"


# One instruction is one nanosecond of the guest's clock. While it idles, that goes on as the host's does, so
# what it waits for outside comes in time. QMP's query-replay says how many there were.
COUNTED = ["-icount", "shift=0,sleep=on,align=off"]


@dataclass(frozen=True)
class Kernel:
    """What a Raspberry Pi's firmware finds on the FAT partition."""

    kernel: Path
    initrd: Path
    tree: Path
    command_line: str


# What QEMU calls the formats of disks, by their files' names.
DRIVERS = {".qcow2": "qcow2", ".img": "raw", ".vmdk": "vmdk", ".vhd": "vpc", ".vhdx": "vhdx"}


@dataclass(frozen=True)
class Options:
    """A virtual machine. Sizes in MiB. With `pristine`, what it writes is forgotten with it."""

    disk: Path
    sockets: Path
    console_log: Path
    tap: str | None = None
    spare_tap: str | None = None
    watchdog: bool = False
    architecture: str = "amd64"
    firmware: str = "bios"
    efi_variables: Path | None = None
    kernel: "Kernel | None" = None
    accelerator: str = "tcg"
    memory: int = 768
    clock: str = "utc"
    seed: Path | None = None
    counted: bool = False
    pristine: bool = False

    @property
    def monitor(self) -> Path:
        """The QMP socket."""
        return self.sockets / "qmp"

    def argv(self) -> list[str]:
        """The command line."""
        return [
            PROGRAMS[self.architecture],
            "-name", "gateway", "-nodefaults", "-display", "none", "-no-user-config",
            *(COUNTED if self.counted else []),
            *self._machine(), *self._firmware(), *self._drives(), *self._network(),
            # A file and no socket: a guest whose console nobody reads would stop at its next line.
            "-chardev", f"file,id=con,path={self.console_log},append=on",
            *self._devices(), "-qmp", f"unix:{self.monitor},server=on,wait=off",
        ]  # fmt: skip

    def _machine(self) -> list[str]:
        if self.firmware == BOARD:  # it has four processors and 1 GiB, neither more nor less
            return ["-machine", "raspi3b", "-accel", "tcg,tb-size=512"]
        common = ["-m", str(self.memory), "-smp", str(PROCESSORS[self.accelerator])]
        if self.architecture == "arm64":
            return ["-machine", "virt", "-accel", "tcg,tb-size=512", "-cpu", "cortex-a72", *common]
        common += ["-vga", "std"]
        if self.accelerator == "kvm":
            return ["-machine", "q35,accel=kvm", "-cpu", "host", *common]
        return ["-machine", "q35", "-accel", "tcg,tb-size=512", "-cpu", EMULATED_CPU, *common]

    def _firmware(self) -> list[str]:
        if self.firmware == "bios":
            return []
        if self.firmware in (VIRT, BOARD):
            return self._kernel()
        code, _ = uefi(self.architecture)
        return [
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
            "-drive", f"if=pflash,unit=1,format=raw,file={self.efi_variables}",
        ]  # fmt: skip

    def _kernel(self) -> list[str]:
        if self.kernel is None:
            raise LabError("a Raspberry Pi's machine has no kernel", "see disk.kernel")
        words = ["-kernel", str(self.kernel.kernel), "-initrd", str(self.kernel.initrd), "-append"]
        if self.firmware == BOARD:
            return [*words, f"{self.kernel.command_line} {ON_BOARD}", "-dtb", str(self.kernel.tree)]
        return [*words, f"{self.kernel.command_line.replace(OF_A_PI, '')} {ON_VIRT}"]

    def _devices(self) -> list[str]:
        if self.firmware == BOARD:  # no clock that keeps the time, and the console is its second serial port
            return ["-serial", "null", "-serial", "chardev:con"]
        watchdog = ["-device", "i6300esb", "-action", "watchdog=reset"] if self.watchdog else []
        clock = ["-rtc", f"base={self.clock}"]
        return ["-serial", "chardev:con", *clock, "-device", "virtio-rng-pci", *watchdog]

    def _drives(self) -> list[str]:
        interface = "sd" if self.firmware == BOARD else "virtio"
        driver, kept = DRIVERS[self.disk.suffix], "on" if self.pristine else "off"
        how = f"format={driver},snapshot={kept},cache=unsafe,discard=unmap"
        drives = ["-drive", f"if={interface},{how},file={self.disk}"]
        if self.seed is not None:
            drives += ["-drive", f"if=virtio,format=raw,readonly=on,file={self.seed}"]
        return drives

    def _network(self) -> list[str]:
        adapter = "usb-net" if self.firmware == BOARD else "virtio-net-pci,romfile="
        cards = {
            "wan": (self.tap, topology.WAN_MAC),
            "spare": (self.spare_tap, f"{topology.SPARE_MAC},{WHOLE_FRAMES}"),
        }
        return [
            word
            for name, (tap, mac) in cards.items() if tap is not None
            for word in (
                "-netdev", f"tap,id={name},ifname={tap},script=no,downscript=no",
                "-device", f"{adapter},id={name},netdev={name},mac={mac}",
            )
        ]  # fmt: skip


def uefi(architecture: str) -> tuple[Path, Path]:
    """UEFI firmware for QEMU: its code and a template of its variables.

    Raises:
        LabError: the package is not installed.
    """
    for code, template in UEFI[architecture]:
        if code.exists():
            return code, template
    raise LabError("UEFI firmware for QEMU is not installed", "run: ./build.py setup --all")


@functools.cache
def kvm_opens() -> bool:
    """Whether /dev/kvm can be opened at all; whether a guest runs under it only running one tells."""
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and os.environ.get("ZTGATE_NO_KVM") is None


def need(programs: Sequence[str]) -> None:
    """Check that programs are installed.

    Raises:
        LabError: it names the first that is not.
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program in programs:
        if shutil.which(program, path=path) is None:
            raise LabError(f"{program} is not installed", "run: ./build.py setup --all")
