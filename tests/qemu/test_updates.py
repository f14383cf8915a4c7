"""Updates on a running gateway: good ones stay, bad ones are taken back, a dead line is nobody's fault."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import topology
from lab.checks import want
from lab.machine import PANIC, Machine, Shell
from lab.mirror import Mirror, Package
from lab.retry import retry
from lab.world import FAILED, LIVED_IN, READY, World

from .conftest import member_goes_out

ROUTER = topology.WAN_ROUTER[0].split("/")[0]
PATIENCE = 240  # seconds for a night's work on an emulated processor
BROKEN = b"#!/bin/sh\nexit 1\n"


@dataclass
class Bench:
    """A gateway that takes its updates from the lab."""

    world: World
    nwid: str
    gateway: Machine
    shell: Shell
    mirror: Mirror

    def offer(self, *packages: Package) -> None:
        """The archive has these, too."""
        for package in packages:
            self.mirror.add(package)
        self.mirror.publish()

    def version(self, name: str) -> str:
        """Which one is installed; "" for none."""
        return self.shell.run(f"dpkg-query -Wf '${{Version}}' {name} 2>/dev/null || true").strip()

    def night(self) -> None:
        """The quiet hour comes, and is over."""
        self.shell.run("systemctl start ztgate-update.service", timeout=PATIENCE)
        print(self.shell.run("journalctl --boot --unit ztgate-update --no-pager --output cat"))

    def status(self) -> str:
        """What people are told."""
        return self.shell.run("ztgate status || true")

    def boot(self) -> str:
        """Which boot it is."""
        return self.shell.run("cat /proc/sys/kernel/random/boot_id").strip()


@pytest.fixture(scope="module")
def bench(world: World) -> Iterator[Bench]:
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = world.gateway("updates", world.config(nwid))
    gateway.start()
    gateway.expect(READY, never=FAILED)
    mirror = Mirror(world.work / "updates-mirror", gateway.options.architecture)
    mirror.publish()
    mirror.serve(world.isp.host, ROUTER)
    made = Bench(world, nwid, gateway, world.shell(), mirror)
    made.shell.run(mirror.adopted())
    yield made
    gateway.close()


def test_they_come_in_the_quiet_hour(bench: Bench) -> None:
    said = bench.shell.run("systemctl show -P TimersCalendar ztgate-update.timer")
    assert "OnCalendar=*-*-* 04:00:00" in said and "next_elapse=(null)" not in said


def test_a_good_one_stays(bench: Bench) -> None:
    """Nothing is started anew that need not be."""
    boot = bench.boot()
    bench.offer(Package("traceroute", "9:1", {"usr/bin/traceroute": b"#!/bin/sh\necho new\n"}))
    bench.night()
    assert bench.shell.run("traceroute").strip() == "new"
    assert "updates: last" in bench.status() and "to 9:1" in bench.status()
    assert bench.boot() == boot
    assert bench.shell.run("ls -A /var/lib/ztgate/updates").split() == ["history.json", "history.json.copy"]


def test_a_bad_one_is_taken_back(bench: Bench) -> None:
    """A service that ends at once: the old package is there again, and the new one does not come back."""
    programs = "sha256sum /usr/sbin/ndppd; dpkg-query -Wf '${Version}' ndppd"
    before = bench.shell.run(programs)
    bench.offer(Package("ndppd", "99", {"usr/sbin/ndppd": BROKEN}))
    bench.night()
    assert bench.shell.run(programs) == before
    status = bench.status()
    assert "updates: taken back" in status and "ztgate-ndppd.service does not stay up" in status
    assert "held until there is a newer one: ndppd 99" in status
    bench.night()
    assert bench.shell.run(programs) == before
    retry(lambda: bench.shell.run("systemctl is-active ztgate-ndppd"), 60, "ndppd")
    member_goes_out(bench.world, bench.nwid)


def test_a_dead_line_takes_nothing_back(bench: Bench) -> None:
    """The cable is pulled as soon as the packages are there."""
    pull = "echo pulled > /dev/ttyS0; until ip link show eth0 | grep -q NO-CARRIER; do sleep 0.2; done"
    bench.offer(Package("nano", "99", {"bin/nano": b"#!/bin/sh\n"}, {"postinst": f"#!/bin/sh\n{pull}\n"}))
    bench.shell.run("systemctl start --no-block ztgate-update.service")
    bench.gateway.expect("pulled")
    bench.gateway.link(up=False)
    bench.gateway.expect("updates: nothing arrives from the WAN's side: nothing is taken back for that")
    bench.gateway.link(up=True)
    bench.gateway.expect("updates: installed: nano")
    retry(lambda: want(bench.version("nano") == "99", "it is not there"), 60, "the update")
    assert "taken back" not in [line for line in bench.status().splitlines() if "nano" in line]


def archive(name: str, content: bytes) -> bytes:
    """An initrd with one file: a cpio archive of the kind "newc" (initramfs-tools(7))."""

    def entry(name: str, content: bytes, mode: int) -> bytes:
        numbers = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name.encode() + b"\0"
        return head.ljust(-(-len(head) // 4) * 4, b"\0") + content.ljust(-(-len(content) // 4) * 4, b"\0")

    return entry(name, content, 0o100755) + entry("TRAILER!!!", b"", 0)


# A kernel that finds nothing to start: its initrd has an /init that is no program. As Debian's do, it
# says that it is the newest.
PLACE, LINKS = "/boot/vmlinuz-99-lab", "linux-update-symlinks"
SCRIPTS = {
    "postinst": f"#!/bin/sh\ncp /boot/vmlinuz-$(uname -r) {PLACE} && {LINKS} install 99-lab {PLACE}\n",
    "postrm": f"#!/bin/sh\n[ $1 != remove ] || {{ rm {PLACE}; {LINKS} remove 99-lab {PLACE}; }}\n",
}
KERNEL = (
    Package("linux-image-99-lab", "99", {"boot/initrd.img-99-lab": archive("init", b"nothing\n")}, SCRIPTS),
    Package("linux-image-cloud-amd64", "99", depends="linux-image-99-lab"),
)


@pytest.mark.soak
def test_a_kernel_that_panics_is_taken_back(bench: Bench) -> None:
    """The boot loader goes back by itself."""
    release = bench.shell.run("uname -r").strip()
    bench.offer(*KERNEL)
    bench.shell.run("systemctl start --no-block ztgate-update.service")
    bench.gateway.expect("updates: the machine starts anew: a new kernel")
    bench.shell.leave()
    bench.gateway.expect(PANIC)
    bench.gateway.expect("updates: taken back: .*with it the machine did not start")
    retry(
        lambda: want(bench.shell.run("uname -r").strip() == release, "another kernel"), 60, "the old kernel"
    )
    assert bench.version("linux-image-99-lab") == "" and bench.version("linux-image-cloud-amd64") != "99"
    assert bench.shell.run("readlink /vmlinuz").strip() == f"boot/vmlinuz-{release}"
    assert "next=" not in bench.shell.run("cat /boot/grub/grubenv")
    retry(lambda: want("ready" in bench.status().splitlines()[0], "not ready"), 120, "the gateway")
    assert "linux-image-cloud-amd64 99" in bench.status()
