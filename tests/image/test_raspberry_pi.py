"""What a Raspberry Pi's firmware finds on the card; nothing here needs a board."""

import struct

import pytest

from .conftest import Disk

# Debian's names of the device trees (Linux, arch/arm64/boot/dts/broadcom), by model.
TREES = {
    "3 B": "bcm2837-rpi-3-b",
    "3 B+": "bcm2837-rpi-3-b-plus",
    "3 A+": "bcm2837-rpi-3-a-plus",
    "Compute Module 3": "bcm2837-rpi-cm3-io3",
    "Zero 2 W": "bcm2837-rpi-zero-2-w",
    "4 B": "bcm2711-rpi-4-b",
    "400": "bcm2711-rpi-400",
    "Compute Module 4": "bcm2711-rpi-cm4-io",
    "5": "bcm2712-rpi-5-b",
    "5, later chips": "bcm2712-d-rpi-5-b",
}
# Firmware of each board's Wi-Fi, by the names that brcmfmac looks for: chip, and board where there is one.
WIFI = {
    "3 B": ("43430", "raspberrypi,3-model-b."),
    "3 B+": ("43455", "raspberrypi,3-model-b-plus."),
    "3 A+": ("43455", "raspberrypi,3-model-a-plus."),
    "Zero 2 W": ("43430", "raspberrypi,model-zero-2-w."),
    "4 B": ("43455", "raspberrypi,4-model-b."),
    "400": ("43456", ""),
    "Compute Module 4": ("43455", "raspberrypi,4-compute-module."),
    "5": ("43455", "raspberrypi,5-model-b."),
    "Compute Module 5": ("43455", "raspberrypi,5-compute-module."),
}
# Their Ethernet, by driver: 3 B, 3 B+, 4 B, 5; and what a person may plug into a Zero 2 W.
ETHERNET = ("usb/smsc95xx", "usb/lan78xx", "ethernet/broadcom/genet/genet", "ethernet/cadence/macb")
ADAPTERS = ("usb/r8152", "usb/ax88179_178a", "usb/asix", "usb/cdc_ether")


@pytest.fixture(scope="module")
def config(pi: Disk) -> dict[str, str]:
    """config.txt as the firmware reads it."""
    text = pi.fat("mtype", "::config.txt").decode()
    return dict(line.replace(" ", "=", 1).split("=", 1) for line in text.splitlines() if line[:1].isalpha())


def test_an_mbr_with_a_fat_partition_first(pi: Disk) -> None:
    assert pi.table["label"] == "dos"
    assert [part["type"] for part in pi.table["partitions"]] == ["c", "83"]
    assert all(part["start"] % 8192 == 0 for part in pi.table["partitions"][:1])


def test_config_txt_is_one_sector(pi: Disk) -> None:
    """A kernel update changes a letter of it in place."""
    assert len(pi.fat("mtype", "::config.txt")) <= 512


def test_the_firmware_runs_a_64_bit_kernel_with_upstreams_names(config: dict[str, str]) -> None:
    assert config["arm_64bit"] == "1"
    assert config["upstream_kernel"] == "1"
    assert config["os_prefix"] == "os-a/"


def test_every_file_that_config_txt_names_is_there(pi: Disk, config: dict[str, str]) -> None:
    prefix = config["os_prefix"]
    kernel = pi.fat("mtype", f"::{prefix}{config['kernel']}")
    assert kernel[56:60] == b"ARM\x64"  # Linux, Documentation/arch/arm64/booting.rst
    release = pi.root.link("/vmlinuz").partition("vmlinuz-")[2]
    assert kernel == pi.root.read(f"/boot/vmlinuz-{release}")
    initrd, follow = config["initramfs"].split()
    assert pi.fat("mtype", f"::{prefix}{initrd}") == pi.root.read(f"/boot/initrd.img-{release}")
    assert follow == "followkernel"


def test_cmdline_txt_names_the_tables_root(pi: Disk, config: dict[str, str]) -> None:
    words = pi.fat("mtype", f"::{config['os_prefix']}cmdline.txt").decode()
    assert words.count("\n") == 1
    assert f"root=PARTUUID={pi.table['id'].removeprefix('0x')}-02" in words.split()
    assert {"console=tty1", "console=ttyS1,115200", "console=ttyAMA10,115200"} <= set(words.split())


@pytest.mark.parametrize("model", TREES)
def test_every_model_has_a_device_tree(pi: Disk, config: dict[str, str], model: str) -> None:
    tree = pi.fat("mtype", f"::{config['os_prefix']}{TREES[model]}.dtb")
    magic, size = struct.unpack_from(">II", tree)  # Devicetree Specification 0.4, section 5.2
    assert (magic, size) == (0xD00DFEED, len(tree))


@pytest.mark.parametrize("driver", [*ETHERNET, *ADAPTERS])
def test_every_ethernet_has_a_driver(pi: Disk, driver: str) -> None:
    folder, _, name = driver.rpartition("/")
    release = pi.root.link("/vmlinuz").partition("vmlinuz-")[2]
    assert f"{name}.ko.xz" in pi.root.names(f"/usr/lib/modules/{release}/kernel/drivers/net/{folder}")


@pytest.mark.parametrize("name", ["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"])
def test_the_boards_firmware_is_there(pi: Disk, name: str) -> None:
    assert pi.fat("mtype", f"::{name}") == pi.root.read(f"/usr/lib/raspberry-pi/{name}")


@pytest.mark.parametrize("model", WIFI)
def test_every_model_has_firmware_for_its_wifi(pi: Disk, model: str) -> None:
    chip, board = WIFI[model]
    for end in ("bin", "clm_blob", f"{board}txt"):
        path = f"/usr/lib/firmware/brcm/brcmfmac{chip}-sdio.{end}"
        entry = pi.root.stat(path)
        assert entry is not None, path
        if entry.kind == "symlink":
            entry = pi.root.stat(f"/usr/lib/firmware/brcm/{pi.root.link(path)}")
        assert entry is not None, path
        assert entry.size > 0, path


def test_wifi_is_started_by_udev_and_by_nothing_else(pi: Disk) -> None:
    assert pi.root.link("/etc/systemd/system/wpa_supplicant.service") == "/dev/null"
    assert "ztgate-wifi@$name.service" in pi.root.text("/etc/udev/rules.d/85-ztgate-wifi.rules")
    assert pi.root.stat("/usr/lib/firmware/regulatory.db")


def test_nothing_of_the_builders_machine_is_left(pi: Disk) -> None:
    assert "x86_64-linux-gnu" not in pi.root.names("/usr/lib")
    assert ".native" not in pi.root.names("/")


def test_debians_hooks_leave_the_fat_partition_alone(pi: Disk) -> None:
    assert b"/usr/libexec/ztgate-firmware" in pi.root.read("/etc/kernel/postinst.d/z50-raspi-firmware")
    assert "z50-raspi-firmware" not in pi.root.names("/etc/initramfs/post-update.d")
    assert "z50-raspi-firmware" not in pi.root.names("/etc/kernel/postrm.d")


def test_the_card_is_spared(pi: Disk) -> None:
    assert "SyncIntervalSec=30m" in pi.root.text("/etc/systemd/journald.conf.d/ztgate-card.conf")
    assert "RuntimeWatchdogSec=" in pi.root.text("/etc/systemd/system.conf.d/ztgate-watchdog.conf")
    assert "fstrim.timer" in pi.root.names("/etc/systemd/system/timers.target.wants")
