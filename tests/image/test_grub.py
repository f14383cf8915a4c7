"""What BIOS and UEFI find in a virtual machine's image, and what GRUB starts."""

import struct

from .conftest import Disk

TYPES = [
    "21686148-6449-6E6F-744E-656564454649",  # BIOS boot
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",  # EFI system
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",  # root, x86-64
]


def test_three_partitions(vps: Disk) -> None:
    assert vps.table["label"] == "gpt"
    assert [p["type"] for p in vps.table["partitions"]] == TYPES
    assert all(p["start"] % 2048 == 0 for p in vps.table["partitions"])


def test_bios_boot_code(vps: Disk) -> None:
    sector = vps.at(0, 512)
    assert sector[510:] == b"\x55\xaa"
    (core,) = struct.unpack_from("<Q", sector, 0x5C)
    assert core * 512 == vps.offset(1)
    first = vps.at(core * 512, 512)
    start, count, segment = struct.unpack_from("<QHH", first, 500)
    assert (start, segment) == (core + 1, 0x820)
    assert (count + 1) * 512 <= vps.offset(2) - vps.offset(1)


def test_uefi_boot_code(vps: Disk) -> None:
    loader = vps.fat("mtype", "::EFI/BOOT/BOOTX64.EFI")
    assert loader[:2] == b"MZ"
    (pe,) = struct.unpack_from("<I", loader, 0x3C)
    assert loader[pe : pe + 4] == b"PE\0\0"
    assert struct.unpack_from("<H", loader, pe + 4) == (0x8664,)


def test_grub_starts_the_root_of_the_table(vps: Disk) -> None:
    system = vps.table["partitions"][-1]["uuid"].lower()
    assert vps.root.text("/boot/grub/grub.cfg").count(f"root=PARTUUID={system}") == 3


def test_grub_follows_the_links_that_debian_keeps(vps: Disk) -> None:
    grub = vps.root.text("/boot/grub/grub.cfg")
    for word in (
        "linux /vmlinuz ",
        "initrd /initrd.img\n",
        "linux /vmlinuz.old ",
        "linux /boot/good/vmlinuz ",
        "console=ttyS0,115200",
        "console=tty0",
    ):
        assert word in grub
    assert len(vps.root.text("/boot/grub/grubenv")) == 1024, "GRUB makes it no longer"
    for link in ("/vmlinuz", "/initrd.img"):
        assert vps.root.stat("/" + vps.root.link(link))
    assert vps.root.stat("/usr/sbin/update-initramfs")
    assert "grub" not in " ".join(vps.root.names("/etc/kernel/postinst.d") | vps.root.names("/etc/default"))


def test_the_kernel_itself_has_the_rest(vps: Disk) -> None:
    release = vps.root.link("/vmlinuz").partition("vmlinuz-")[2]
    builtin = vps.root.text(f"/usr/lib/modules/{release}/modules.builtin")
    for module in ("nvme", "ext4", "virtio_pci"):
        assert f"/{module}.ko" in builtin
