"""The Raspberry Pi's image in QEMU's `virt` machine: what the demo proves, Wi-Fi, then a kernel update."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import topology
from lab.checks import CHECKS, Check, Scene, want
from lab.retry import retry
from lab.world import World, echo_url
from tests import access_point

from .kernel_update import update_kernel

pytestmark = pytest.mark.standin

# Seconds after which members go out another way: three until networkd gives a pulled cable up, one of quiet,
# and a run or two of ztgate, all of it emulated.
NOTICED = 120


@pytest.fixture(scope="module")
def scene(world: World, pi_image: Path) -> Iterator[Scene]:
    """The demo's scene with another image, to which a wireless adapter comes later."""
    attic = {"ssid": access_point.NAME, "password": access_point.PASSWORD, "country": "DE"}
    with Scene(world, image=pi_image, sections={"wifi": attic}, spare=True) as scene:
        yield scene


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.replace(" ", "-"))
def test_demo_check(scene: Scene, check: Check) -> None:
    assert check.run(scene)


def test_root_grew_to_the_card(scene: Scene) -> None:
    """The card has 4 GiB, the image's root file system far less."""
    size = int(scene.world.shell().run("df --output=size --block-size=1 /").split()[1])
    assert size > 3 << 30


def test_nothing_failed(scene: Scene) -> None:
    assert scene.world.shell().run("systemctl list-units --failed --no-legend --plain") == ""


def test_wifi_is_the_way_out_while_the_cable_is_not_plugged_in(scene: Scene, hostapd: Path) -> None:
    """udev brings up the adapter; the cable is preferred; members go out either way."""
    shell, laptop = scene.world.shell(), scene.world.member("laptop")
    access_point.start(shell, hostapd, scene.world.work)
    scene.gateway.link(up=True, card="spare")
    wireless = retry(lambda: access_point.address(shell), 180, "an address over Wi-Fi")

    def goes_out_by(address: str) -> None:
        seen = laptop.get(echo_url(4))["address"]
        want(seen == address, f"the internet saw {seen}")
        want(laptop.get(echo_url(6))["address"] == scene.global_address, "IPv6 has another address")

    goes_out_by(topology.WAN_IPV4)
    shell.run("systemctl stop ztgate.timer")  # it is noticed without
    scene.gateway.link(up=False)
    retry(lambda: goes_out_by(wireless), NOTICED, "a member's packets over Wi-Fi")
    scene.gateway.link(up=True)
    retry(lambda: goes_out_by(topology.WAN_IPV4), NOTICED, "a member's packets over the cable")
    shell.run("systemctl start ztgate.timer")


@pytest.mark.soak
def test_a_kernel_update_boots(scene: Scene, other_kernels: dict[str, Path]) -> None:
    """It goes to the FAT partition's other directory, and config.txt names that one."""
    update_kernel(scene, other_kernels["rpi-arm64"])
    assert "os_prefix=os-b/" in scene.world.shell().run("cat /boot/firmware/config.txt")
