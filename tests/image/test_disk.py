"""What the firmware sees: partitions, boot code, the FAT partition."""

import struct

import pytest
import yaml

from .conftest import Disk, Root, tool

TYPES = [
    "21686148-6449-6E6F-744E-656564454649",  # BIOS boot
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",  # EFI system
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",  # root, x86-64
]


def test_three_partitions(disk: Disk) -> None:
    assert disk.table["label"] == "gpt"
    assert [p["type"] for p in disk.table["partitions"]] == TYPES
    assert all(p["start"] % 2048 == 0 for p in disk.table["partitions"])


def test_the_table_is_sound(disk: Disk) -> None:
    assert b"No errors detected" in tool("sfdisk", "--verify", disk.path)


def test_it_fits_a_small_vps_and_is_sparse(disk: Disk) -> None:
    stat = disk.path.stat()
    assert stat.st_size < 1.2 * (1 << 30)
    assert stat.st_blocks * 512 < stat.st_size


def test_bios_boot_code(disk: Disk) -> None:
    sector = disk.at(0, 512)
    assert sector[510:] == b"\x55\xaa"
    (core,) = struct.unpack_from("<Q", sector, 0x5C)
    assert core * 512 == disk.offset(1)
    first = disk.at(core * 512, 512)
    start, count, segment = struct.unpack_from("<QHH", first, 500)
    assert (start, segment) == (core + 1, 0x820)
    assert (count + 1) * 512 <= disk.offset(2) - disk.offset(1)


def test_uefi_boot_code(disk: Disk) -> None:
    loader = disk.fat("mtype", "::EFI/BOOT/BOOTX64.EFI")
    assert loader[:2] == b"MZ"
    (pe,) = struct.unpack_from("<I", loader, 0x3C)
    assert loader[pe : pe + 4] == b"PE\0\0"
    assert struct.unpack_from("<H", loader, pe + 4) == (0x8664,)


def test_the_fat_partition_is_for_people(disk: Disk) -> None:
    sector = disk.at(disk.offset(2), 512)
    assert sector[82:87] == b"FAT32"
    assert sector[71:82].rstrip() == b"ZTGATE"
    names = set(disk.fat("mdir", "-b", "::").decode().split())
    assert names == {"::/EFI/", "::/README.txt", "::/gateway.yaml.example"}
    example = yaml.safe_load(disk.fat("mtype", "::gateway.yaml.example"))
    assert set(example) == {"network", "controller"}


def test_both_file_systems_are_clean(
    disk: Disk, root: Root, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tool("e2fsck", "-f", "-n", root.device)
    fat = tmp_path_factory.mktemp("fat") / "fat.img"
    fat.write_bytes(disk.at(disk.offset(2), disk.offset(3) - disk.offset(2)))
    tool("fsck.fat", "-n", fat)


def test_the_root_has_room_and_a_name(root: Root) -> None:
    fields = dict(
        line.split(":", 1)
        for line in tool("dumpe2fs", "-h", root.device).decode().splitlines()
        if ":" in line
    )
    free = int(fields["Free blocks"]) * int(fields["Block size"])
    assert fields["Filesystem volume name"].strip() == "ztgate-root"
    assert free >= 250 << 20


def test_grub_fstab_and_the_table_mean_the_same_partitions(disk: Disk, root: Root) -> None:
    firmware, system = (disk.table["partitions"][i]["uuid"].lower() for i in (1, 2))
    fstab = {
        line.split()[1]: line.split()
        for line in root.text("/etc/fstab").splitlines()
        if line.startswith("PART")
    }
    assert fstab["/"][0] == f"PARTUUID={system}"
    assert fstab["/boot/firmware"][0] == f"PARTUUID={firmware}"
    assert {"nofail", "umask=0077"} <= set(fstab["/boot/firmware"][3].split(","))
    grub = root.text("/boot/grub/grub.cfg")
    assert grub.count(f"root=PARTUUID={system}") == 2


def test_grub_follows_the_links_that_debian_keeps(root: Root) -> None:
    grub = root.text("/boot/grub/grub.cfg")
    for word in (
        "linux /vmlinuz ",
        "initrd /initrd.img\n",
        "linux /vmlinuz.old ",
        "console=ttyS0,115200",
        "console=tty0",
    ):
        assert word in grub
    for link in ("/vmlinuz", "/initrd.img"):
        assert root.stat("/" + root.link(link))
    assert root.stat("/usr/sbin/update-initramfs")
    assert "grub" not in " ".join(root.names("/etc/kernel/postinst.d") | root.names("/etc/default"))


@pytest.mark.parametrize(
    "module",
    ["virtio_blk", "virtio_scsi", "sd_mod", "ahci", "ata_piix", "xen-blkfront", "hv_storvsc", "vmw_pvscsi"],
)
def test_the_initrd_has_every_disk(initrd: dict[str, bytes], module: str) -> None:
    assert any(name.rsplit("/", 1)[-1].startswith(f"{module}.ko") for name in initrd)


def test_the_kernel_itself_has_the_rest(root: Root) -> None:
    release = root.link("/vmlinuz").partition("vmlinuz-")[2]
    builtin = root.text(f"/usr/lib/modules/{release}/modules.builtin")
    for module in ("nvme", "ext4", "virtio_pci"):
        assert f"/{module}.ko" in builtin


def test_the_initrd_is_small(initrd: dict[str, bytes]) -> None:
    assert sum(map(len, initrd.values())) < 24 << 20
    assert not [name for name in initrd if "hwdb" in name or name.endswith("systemd-udevd")]
    assert any(name.endswith("sbin/blkid") for name in initrd)
    assert "scripts/init-bottom/ztgate" in initrd
