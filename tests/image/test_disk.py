"""What the firmware sees: partitions, boot code, the FAT partition."""

import pytest
import yaml

from .conftest import Disk, Root, tool


def test_the_table_is_sound(disk: Disk) -> None:
    assert b"No errors detected" in tool("sfdisk", "--verify", disk.path)


def test_it_fits_a_small_disk_and_is_sparse(disk: Disk) -> None:
    stat = disk.path.stat()
    assert stat.st_size < 1.25 * (1 << 30)
    assert stat.st_blocks * 512 < stat.st_size


def test_the_fat_partition_is_for_people(disk: Disk) -> None:
    sector = disk.at(disk.offset(disk.fat_number), 512)
    assert sector[82:87] == b"FAT32"
    assert sector[71:82].rstrip() == b"ZTGATE"
    names = set(disk.fat("mdir", "-b", "::").decode().split())
    assert names >= {"::/README.txt", "::/gateway.yaml.example"}
    for name in ("README.txt", "gateway.yaml.example"):
        assert b"\n" not in disk.fat("mtype", f"::{name}").replace(b"\r\n", b""), "for older Notepads"
    example = yaml.safe_load(disk.fat("mtype", "::gateway.yaml.example"))
    assert set(example) == {"network", "controller"}


def test_both_file_systems_are_clean(
    disk: Disk, root: Root, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tool("e2fsck", "-f", "-n", root.device)
    fat = tmp_path_factory.mktemp("fat") / "fat.img"
    fat.write_bytes(
        disk.at(disk.offset(disk.fat_number), disk.offset(disk.root_number) - disk.offset(disk.fat_number))
    )
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


DISKS = {
    "vps-amd64": [
        *("virtio_blk", "virtio_scsi", "sd_mod", "ahci", "ata_piix", "xen-blkfront", "hv_storvsc"),
        "vmw_pvscsi",
    ],
    "rpi-arm64": ["virtio_blk", "ext4", "bcm2835", "sdhci-iproc", "sdhci-brcmstb", "rp1_pci", "usb-storage"],
}


def test_the_initrd_has_every_disk(disk: Disk, initrd: dict[str, bytes]) -> None:
    modules = {name.rsplit("/", 1)[-1].partition(".ko")[0] for name in initrd if ".ko" in name}
    assert set(DISKS[disk.name]) - modules == set()


def test_the_initrd_is_small(initrd: dict[str, bytes]) -> None:
    assert sum(map(len, initrd.values())) < 24 << 20
    assert not [name for name in initrd if "hwdb" in name or name.endswith("systemd-udevd")]
    assert any(name.endswith("sbin/blkid") for name in initrd)
    assert "scripts/init-bottom/ztgate" in initrd


def test_fstab_and_the_table_mean_the_same_partitions(disk: Disk) -> None:
    """An MBR has no identifiers of partitions: the kernel makes them from its own and the number."""
    table = disk.table
    made = (f"{table['id'].removeprefix('0x')}-{number:02x}" for number in range(1, 5))
    uuids = [part.get("uuid", other).lower() for part, other in zip(table["partitions"], made, strict=False)]
    lines = [line.split() for line in disk.root.text("/etc/fstab").splitlines() if line.startswith("PART")]
    fstab = {words[1]: words for words in lines}
    assert fstab["/"][0] == f"PARTUUID={uuids[-1]}"
    assert "noatime" in fstab["/"][3]
    assert fstab["/boot/firmware"][0] == f"PARTUUID={uuids[-2]}"
    assert {"nofail", "umask=0077"} <= set(fstab["/boot/firmware"][3].split(","))
    assert set(fstab) == {"/", "/boot/firmware"}  # and no swap
