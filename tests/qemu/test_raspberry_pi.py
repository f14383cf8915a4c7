"""The Raspberry Pi's image in QEMU's `virt` machine: all that the demo proves, then a kernel update."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.checks import CHECKS, Check, Scene
from lab.world import World

from .kernel_update import update_kernel


@pytest.fixture(scope="module")
def scene(world: World, pi_image: Path) -> Iterator[Scene]:
    """The demo's scene with another image."""
    scene = Scene(world, image=pi_image)
    scene.set()
    yield scene
    scene.strike()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.replace(" ", "-"))
def test_demo_check(scene: Scene, check: Check) -> None:
    assert check.run(scene)


def test_root_grew_to_the_card(scene: Scene) -> None:
    """The card has 4 GiB, the image's root file system far less."""
    size = int(scene.world.shell().run("df --output=size --block-size=1 /").split()[1])
    assert size > 3 << 30


def test_nothing_failed(scene: Scene) -> None:
    assert scene.world.shell().run("systemctl list-units --failed --no-legend --plain") == ""


def test_a_kernel_update_boots(scene: Scene, other_kernels: dict[str, Path]) -> None:
    """It goes to the FAT partition's other directory, and config.txt names that one."""
    update_kernel(scene, other_kernels["rpi-arm64"])
    assert "os_prefix=os-b/" in scene.world.shell().run("cat /boot/firmware/config.txt")
