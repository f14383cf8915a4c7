"""A kernel update on a running gateway, and the boot after it."""

from pathlib import Path

from lab.checks import Scene
from lab.world import FAILED, READY
from tests import kernel


def update_kernel(scene: Scene, packages: Path) -> None:
    """Install the packages in a tar with dpkg, and check that the gateway comes back with that kernel."""
    release, shell = kernel.release(packages), scene.world.shell()
    assert shell.run("uname -r").strip() != release
    shell.put(packages, "/var/tmp/kernel.tar")
    shell.run("mkdir /var/tmp/kernel && tar -x -f /var/tmp/kernel.tar -C /var/tmp/kernel", timeout=900)
    shell.run("dpkg --install /var/tmp/kernel/*.deb && rm -r /var/tmp/kernel* && sync", timeout=900)
    scene.gateway.power_off()
    scene.gateway.start()
    scene.gateway.expect(READY, never=FAILED)
    assert shell.run("uname -r").strip() == release
