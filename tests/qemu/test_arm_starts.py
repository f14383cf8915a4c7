"""Ways in which arm64 machines start: a VPS by UEFI, a card that Imager has written, a board in QEMU."""

from pathlib import Path

import pytest

from lab import process, topology
from lab.checks import want
from lab.qemu import BOARD
from lab.retry import retry
from lab.world import FAILED, LIVED_IN, READY, World

from .conftest import Make, member_goes_out

pytestmark = pytest.mark.standin


@pytest.mark.soak
def test_an_arm64_vps(world: World, make: Make, arm_image: Path) -> None:
    """UEFI and GRUB start it, and it does the same."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=arm_image)
    gateway.start()
    assert gateway.expect(READY, never=FAILED)["network"] == nwid
    member_goes_out(world, nwid)


# What Raspberry Pi Imager's wizard writes to the FAT partition (its src/customization_generator.cpp).
WIZARD = {
    "meta-data": "instance-id: rpi-imager-1764000000000\n",
    "network-config": """\
network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
      dhcp6: true
      optional: true
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "DE"
      access-points:
        "attic":
          password: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      optional: true
""",
    "user-data": """\
#cloud-config

hostname: attic
manage_etc_hosts: true
packages:
- avahi-daemon
apt:
  preserve_sources_list: true
  conf: |
    Acquire {
      Check-Date "false";
    };
timezone: Europe/Berlin
keyboard:
  model: pc105
  layout: "de"
user:
  name: ada
  shell: /bin/bash
  lock_passwd: true
  ssh_authorized_keys:
    - "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAda ada@home"
  sudo: null
ssh_pwauth: false

runcmd:
  - [ systemctl, enable, --now, ssh ]
""",
}


def test_a_card_that_imagers_wizard_has_written(world: World, make: Make, pi_image: Path) -> None:
    """Host name, time zone, keyboard, Wi-Fi and user are as the person said; it is a gateway all the same."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=pi_image)
    card = f"{gateway.work / 'personal.img'}@@4M"
    for name, content in WIZARD.items():
        file = gateway.work / name
        file.write_text(content)
        process.run(["mcopy", "-i", card, file, "::"])
    gateway.start()
    assert gateway.expect(READY, never=FAILED)["network"] == nwid
    shell = world.shell()
    retry(lambda: shell.run("test -e /run/cloud-init/result.json"), 180, "cloud-init's end")
    assert shell.run("hostname").strip() == "attic"
    assert shell.run("readlink /etc/localtime").strip().endswith("Europe/Berlin")
    assert 'XKBLAYOUT="de"' in shell.run("cat /etc/default/keyboard")
    assert "country=DE" in shell.run("ztgate wifi wlan0 && cat /run/ztgate/wifi-wlan0.conf")
    assert "ada@home" in shell.run("cat ~ada/.ssh/authorized_keys")
    assert '"errors": []' in shell.run("cat /run/cloud-init/result.json")
    assert shell.run("systemctl list-units --failed --no-legend --plain") == ""


@pytest.mark.soak
def test_a_board_in_raspi3b(world: World, make: Make, pi_image: Path) -> None:
    """A Raspberry Pi 3 B's device tree, card slot and USB: DHCP, a login prompt, and it is a gateway."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=pi_image, firmware=BOARD)
    gateway.start()
    assert gateway.expect(READY, never=FAILED)["network"] == nwid
    retry(lambda: want("login:" in gateway.console_text(), "no login prompt"), 120, "the login prompt")
    world.isp.host.run("ping", "-c", "1", "-W", "10", topology.WAN_IPV4)  # which it can have by DHCP only
    shell = world.shell()
    assert "Raspberry Pi 3 Model B" in shell.run("cat /proc/device-tree/model")
    assert shell.run("findmnt --noheadings --output=SOURCE /").strip() == "/dev/mmcblk0p2"
    assert "cdc_ether" in shell.run("readlink /sys/class/net/e*/device/driver")
    assert shell.run("systemctl list-units --failed --no-legend --plain") == ""
    member_goes_out(world, nwid)
