"""What the kernel says of disks, in trees like /sys and /proc."""

from pathlib import Path

import pytest

from builder import blockdev
from builder.blockdev import Disk, Part, System, Use
from builder.errors import BuildError

from .conftest import make_tree

GB = 1_000_000_000
ROOT_MOUNT = "25 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw"
# Where the disks of the tree hang, and what else is not as most disks have it.
PLACES = {
    "sda": "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda",
    "sdb": "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb",
    "sdc": "pci0000:00/0000:00:14.0/usb2/2-2/2-2:1.0/host7/target7:0:0/7:0:0:0/block/sdc",
    "mmcblk0": "platform/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0",
    "mmcblk0boot0": "platform/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0boot0",
    "sr0": "pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0/block/sr0",
    "vda": "pci0000:00/0000:00:02.0/virtio1/block/vda",
    "dm-0": "virtual/block/dm-0",
    "loop0": "virtual/block/loop0",
}
SIZES = {"sda": 500 * GB, "sdb": 32 * GB, "sdc": 0, "mmcblk0": 16 * GB, "mmcblk0boot0": 4 << 20, "dm-0": GB}
FILES = {
    "sda": {"device/vendor": "ATA     ", "device/model": "Samsung SSD 870 "},
    "sdb": {"device/vendor": "SanDisk ", "device/model": "Ultra", "removable": "1"},
    "sdc": {"removable": "1"},
    "mmcblk0": {"device/name": "SD16G", "ro": "1"},
    "mmcblk0boot0": {"ro": "1"},
    "sr0": {"removable": "1"},
    "vda": {"device/vendor": "0x1af4", "queue/logical_block_size": "4096"},
    "dm-0": {"dm/name": "luks-home"},
    "loop0": {"loop/backing_file": "/tmp/x y.img"},
}
NUMBERS = {"sda": "8:0", "sda2": "8:2", "sdb": "8:16", "sdb1": "8:17", "sdb10": "8:26", "dm-0": "253:0"}


def partition(number: int, size: int, name: str) -> dict[str, str]:
    return {
        f"{name}/partition": str(number),
        f"{name}/size": str(size // 512),
        f"{name}/dev": NUMBERS.get(name, "259:9"),
    }


PARTITIONS = {
    "sda": partition(2, 400 * GB, "sda2"),
    "sdb": {**partition(10, 2 * GB, "sdb10"), **partition(1, GB, "sdb1")},
}


def system(root: Path, mounts: str = "", swaps: str = "", more: dict[str, str] | None = None) -> System:
    tree = {
        "proc/self/mountinfo": f"{ROOT_MOUNT}\n{mounts}",
        "proc/swaps": f"Filename\t\t\tType\t\tSize\n{swaps}",
        **(more or {}),
    }
    for name, place in PLACES.items():
        tree[f"sys/block/{name}"] = f"-> ../devices/{place}"
        files = {
            "size": str(SIZES.get(name, GB) // 512),
            "removable": "0",
            "ro": "0",
            "dev": NUMBERS.get(name, "259:8"),
            **FILES.get(name, {}),
            **PARTITIONS.get(name, {}),
        }
        tree |= {f"sys/devices/{place}/{file}": f"{text}\n" for file, text in files.items()}
    make_tree(root, tree)
    return System(root / "sys", root / "proc")


def disk(of: System, name: str) -> Disk:
    return blockdev._disk((of.sys / "block" / name).resolve(), blockdev._uses(of))


def test_only_what_can_be_taken_out_and_has_a_card_is_listed(tmp_path: Path) -> None:
    assert [d.path for d in blockdev.disks(system(tmp_path))] == ["/dev/mmcblk0", "/dev/sdb"]


def test_all_that_is_known_of_a_disk(tmp_path: Path) -> None:
    assert disk(system(tmp_path), "sdb") == Disk(
        path="/dev/sdb", model="SanDisk Ultra", size=32 * GB, sector=512, removable=True, bus="usb",
        read_only=False, parts=(Part("/dev/sdb1", GB), Part("/dev/sdb10", 2 * GB)), uses=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("sda", "model", "Samsung SSD 870"),
        ("sda", "portable", False),
        ("sda", "uses", (Use("/dev/sda2", "root", "/"),)),
        ("sdc", "size", 0),
        ("mmcblk0", "model", "SD16G"),
        ("mmcblk0", "bus", "mmc"),
        ("mmcblk0", "portable", True),
        ("mmcblk0", "read_only", True),
        ("vda", "model", ""),
        ("vda", "sector", 4096),
        ("dm-0", "path", "/dev/mapper/luks-home"),
        ("loop0", "model", "/tmp/x y.img"),
        ("loop0", "portable", False),
    ],
)
def test_one_thing_of_a_disk(tmp_path: Path, name: str, field: str, value: object) -> None:
    assert getattr(disk(system(tmp_path), name), field) == value


MAPPED = "/dev/mapper/luks-home"


@pytest.mark.parametrize(
    ("mounts", "swaps", "held", "uses"),
    [
        ("30 25 8:17 / /a\\040b rw - vfat /dev/sdb1 rw", "", False, ["sdb1 mounted /a b"]),
        ("30 25 8:17 / /a\u2028b rw - vfat /dev/sdb1 rw", "", False, ["sdb1 mounted /a\u2028b"]),
        ("30 25 8:16 / /mnt rw shared:9 master:1 - ext4 /dev/sdb rw", "", False, ["sdb mounted /mnt"]),
        ("30 25 0:40 /@ /mnt rw - btrfs /dev/sdb10 rw", "", False, ["sdb10 mounted /mnt"]),
        (
            "30 25 8:17 / /a rw - x y rw\n31 25 8:17 / /b rw - x y rw",
            "",
            False,
            ["sdb1 mounted /a", "sdb1 mounted /b"],
        ),
        ("30 25 0:5 / /dev rw - devtmpfs sdb rw", "", False, []),
        ("", "/dev/sdb10   partition\t8\t0\t-2\n", False, ["sdb10 swap "]),
        ("", "/swap\\040file   file\t8\t0\t-2\n", False, []),
        ("", "", True, [f"sdb1 held {MAPPED}"]),
        ("", "/dev/dm-0   partition\t8\t0\t-2\n", True, ["sdb1 swap "]),
        (f"30 25 253:0 / / rw - ext4 {MAPPED} rw", "", True, ["sdb1 root /"]),
        (f"30 25 253:0 / /home rw - ext4 {MAPPED} rw", "", True, ["sdb1 mounted /home"]),
    ],
)
def test_who_uses_it(tmp_path: Path, mounts: str, swaps: str, held: bool, uses: list[str]) -> None:
    holder = f"sys/devices/{PLACES['sdb']}/sdb1/holders/dm-0"
    held_by = {holder: f"-> {tmp_path}/sys/block/dm-0"} if held else {}
    found = disk(system(tmp_path, mounts, swaps, held_by), "sdb").uses
    assert [f"{use.node} {use.how} {use.what}" for use in found] == [f"/dev/{use}" for use in uses]


def test_without_the_list_of_mounts_nothing_is_known(tmp_path: Path) -> None:
    of = system(tmp_path)
    (of.proc / "self/mountinfo").unlink()
    with pytest.raises(FileNotFoundError):
        blockdev.disks(of)


@pytest.mark.parametrize(
    ("uses", "message", "hint"),
    [
        ([("sdb1", "mounted", "/a b")], "/dev/sdb: /dev/sdb1 is mounted on /a b", "sudo umount '/a b'"),
        ([("sdb", "mounted", "/mnt")], "/dev/sdb: it is mounted on /mnt", "sudo umount /mnt"),
        (
            [("sdb1", "mounted", "/a"), ("sdb2", "mounted", "/b")],
            "/dev/sdb: /dev/sdb1 is mounted on /a; /dev/sdb2 is mounted on /b",
            "sudo umount /a /b",
        ),
        ([("sdb2", "swap", "")], "/dev/sdb: /dev/sdb2 is used as swap space", "sudo swapoff /dev/sdb2"),
        (
            [("sdb1", "mounted", "/boot"), ("sdb2", "root", "/")],
            "/dev/sdb: /dev/sdb1 is mounted on /boot; /dev/sdb2 holds the root of the running system",
            "./build.py flash lists the disks that can be taken out",
        ),
        (
            [("sdb1", "held", "/dev/md127")],
            "/dev/sdb: /dev/sdb1 is held by /dev/md127",
            "close what is built on it (LVM, encryption, RAID): lsblk /dev/sdb shows it",
        ),
    ],
)
def test_a_used_disk_is_refused(uses: list[tuple[str, str, str]], message: str, hint: str) -> None:
    used = tuple(Use(f"/dev/{node}", how, what) for node, how, what in uses)
    with pytest.raises(BuildError) as e:
        blockdev.refuse_used(Disk("/dev/sdb", "", GB, 512, True, "usb", False, (), used), "/dev/sdb")
    assert (e.value.message, e.value.hint) == (message, hint)


def test_what_is_no_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cases = {
        tmp_path / "sdx": "there is no such device",
        tmp_path / "file": "this is no block device",
        tmp_path: "this is no block device",
        Path("/dev/null"): "this is no block device",
    }
    for path, message in cases.items():
        with pytest.raises(BuildError) as e:
            blockdev.find(str(path))
        assert e.value.message == f"{path}: {message}"
        assert "./build.py flash lists" in e.value.hint


@pytest.mark.parametrize(
    ("size", "text"), [(4 << 20, "4 MB"), (999_000_000, "999 MB"), (31_914_983_424, "31.9 GB")]
)
def test_sizes_are_those_on_the_card(size: int, text: str) -> None:
    assert blockdev.human(size) == text
