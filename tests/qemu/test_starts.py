"""Other ways to start: UEFI, a configuration from cloud-init, none at all, and wrong ones."""

import base64
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import disk, process, topology
from lab.checks import want
from lab.qemu import BOARD
from lab.retry import retry
from lab.world import FAILED, LIVED_IN, READY, WAITING, World, echo_url

from .conftest import Make


def seed(work: Path, user_data: dict[str, Any]) -> Path:
    """A cloud-init NoCloud disk, as libvirt and Proxmox attach one."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "user-data").write_text("#cloud-config\n" + yaml.safe_dump(user_data))
    (work / "meta-data").write_text("instance-id: lab-1\nlocal-hostname: from-cloud\n")
    image = work / "seed.img"
    process.run(["truncate", "--size=1M", image])
    process.run(["mkfs.vfat", "-n", "CIDATA", image])
    process.run(["mcopy", "-i", image, work / "user-data", work / "meta-data", "::"])
    return image


def member_goes_out(world: World, nwid: str) -> None:
    """A new member reaches the internet through the gateway over both families, and leaves."""
    phone = world.member("phone")
    world.controller.authorize(nwid, phone.node.address)
    phone.join(nwid)
    phone.wait_tunnelled(nwid)
    for family in (4, 6):
        retry(lambda f=family: phone.get(echo_url(f)), 60, f"IPv{family}")  # type: ignore[misc]
    phone.node.api("DELETE", f"/network/{nwid}")


def test_uefi_with_cloud_init_and_a_self_hosted_controller(world: World, make: Make) -> None:
    """OVMF starts it, user data configures it, a controller of one's own authorizes it."""
    nwid = world.controller.create_network(**LIVED_IN)
    config = world.config(nwid, "self-hosted")
    encoded = {"path": "/etc/ztgate/gateway.yaml", "permissions": "0600", "content": config}
    drive = seed(world.work / "seed", {"write_files": [encoded]})
    gateway = make(None, firmware="uefi", seed=drive)
    gateway.start()
    ready = gateway.expect(READY, never=FAILED)
    assert ready["network"] == nwid
    member_goes_out(world, nwid)
    gateway.power_off()
    token = world.controller.door("self-hosted").token
    for form in (token, base64.b64encode(token.encode()).decode()):
        assert disk.places(gateway.options.disk, form, world.work) == [], "the token is on the disk"


def test_a_preauthorized_image(world: World, make: Make) -> None:
    """It comes up with the identity that it was given, and no token; IPv6 is added from the computer."""
    nwid = world.controller.create_network(**LIVED_IN)
    way = world.controller.door("self-hosted")
    config = world.work / "preauthorized.yaml"
    url = way.url.replace(topology.CONTROLLER_NAME, str(topology.CONTROLLER.ipv4.ip))
    config.write_text(world.config(nwid, "self-hosted", controller={"url": url}))
    image = world.work / "preauthorized.img"
    process.run(["cp", "--sparse=always", "--reflink=auto", world.image, image], timeout=300)

    def preauthorize(*words: process.Arg) -> None:
        command = [sys.executable, disk.ROOT / "build.py", "preauthorize", "--config", config, *words]
        world.internet.run(*command, timeout=300)

    preauthorize(image, "--zerotier", world.package.deb)
    (node,) = world.controller.members(nwid)
    asked = len(way.requests())
    gateway = make(None, image=image)
    gateway.start()
    ready = gateway.expect(READY, never=FAILED)
    assert (ready["network"], ready["ipv6"]) == (nwid, "off")
    shell = world.shell()
    assert shell.run("cat /var/lib/zerotier-one/identity.secret").startswith(f"{node}:")
    assert "identity" not in shell.run("ls /boot/firmware")
    words = f"--node {node} --ipv6 {topology.WAN_PREFIX}"
    assert f"preauthorize --config gateway.yaml {words}" in shell.run("cat /boot/firmware/ztgate-status.txt")
    assert len(way.requests()) == asked, "the gateway asks nobody"
    preauthorize(*words.split())
    shell.run("systemctl restart ztgate")
    assert gateway.expect(READY, never=FAILED)["ipv6"] != "off"
    member_goes_out(world, nwid)
    gateway.power_off()
    assert disk.places(gateway.options.disk, way.token, world.work) == [], "the token is on the disk"


@pytest.mark.soak
def test_an_arm64_vps(world: World, make: Make, arm_image: Path) -> None:
    """UEFI and GRUB start it, and it does the same."""
    nwid = world.controller.create_network(**LIVED_IN)
    gateway = make(world.config(nwid), image=arm_image)
    gateway.start()
    assert gateway.expect(READY, never=FAILED)["network"] == nwid
    member_goes_out(world, nwid)


def test_without_a_configuration_it_waits(make: Make) -> None:
    gateway = make(None)
    gateway.start()
    reason = gateway.expect(WAITING, never=f"{FAILED}|{READY}")["reason"]
    assert "configuration" in reason
    retry(lambda: want("login:" in gateway.console_text(), "no login prompt"), 120, "the login prompt")


def test_wrong_token_is_named(world: World, make: Make) -> None:
    """Nothing is written to the network, and the console says which of the two it was."""
    nwid = world.controller.create_network(**LIVED_IN)
    before = world.controller.network(nwid)
    config = yaml.safe_load(world.config(nwid))
    config["controller"]["token"] = "not-the-right-token-at-all"
    gateway = make(yaml.safe_dump(config))
    gateway.start()
    reason = gateway.expect(FAILED, never=READY)["reason"]
    assert "token" in reason
    assert config["controller"]["token"] not in gateway.console_text()
    assert world.controller.network(nwid) == before
    assert world.controller.members(nwid) == []


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
