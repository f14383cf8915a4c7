"""The disks of virtual machines: personal copies of an image, and what is found on them afterwards."""

import json
import mmap
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab import process
from lab.qemu import TREE, VIRT, Kernel

ROOT = Path(__file__).resolve().parent.parent


def personal(image: Path, config: str | None, work: Path, size_mib: int = 4096) -> Path:
    """A copy-on-write disk of ``size_mib`` over a copy of ``image`` that holds ``config`` as gateway.yaml.

    The copy is made as a user makes one: with ``build.py configure``. Without a configuration the
    image itself is the disk's backing file. QEMU wants a power of two for the size of a card.
    """
    work.mkdir(parents=True, exist_ok=True)
    backing = image.resolve()
    if config is not None:
        backing = work / "personal.img"
        process.run(["cp", "--sparse=always", "--reflink=auto", image, backing], timeout=300)
        source = work / "gateway.yaml"
        source.touch(mode=0o600)
        source.write_text(config)
        process.run([sys.executable, ROOT / "build.py", "configure", backing, "--config", source])
    disk = work / "disk.qcow2"
    # QEMU ignores a discard of less than a cluster; at the usual 64 KiB the guest's 4 KiB blocks would stay.
    kind: list[process.Arg] = ["-f", "qcow2", "-o", "cluster_size=4k", "-F", "raw", "-b", backing]
    process.run(["qemu-img", "create", "-q", *kind, disk, f"{size_mib}M"])
    return disk


def seed(work: Path, user_data: Mapping[str, Any], instance: str = "lab-1") -> Path:
    """A drive for cloud-init's NoCloud, as libvirt and Proxmox attach one."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "user-data").write_text("#cloud-config\n" + yaml.safe_dump(dict(user_data)))
    (work / "meta-data").write_text(f"instance-id: {instance}\nlocal-hostname: from-cloud\n")
    image = work / "seed.img"
    image.unlink(missing_ok=True)
    process.run(["truncate", "--size=1M", image])
    process.run(["mkfs.vfat", "-n", "CIDATA", image])
    process.run(["mcopy", "-i", image, work / "user-data", work / "meta-data", "::"])
    return image


def places(disk: Path, secret: str, work: Path) -> list[int]:
    """The offsets in bytes at which ``secret`` lies on a disk, free space included."""
    raw = work / "flat.img"
    try:
        process.run(["qemu-img", "convert", "-O", "raw", disk, raw], timeout=300)
        return _places(raw, secret.encode())
    finally:
        raw.unlink(missing_ok=True)


def _places(path: Path, needle: bytes) -> list[int]:
    if not path.stat().st_size:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return [match.start() for match in re.finditer(re.escape(needle), content)]


ROOT_ON_ARM64 = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"  # Discoverable Partitions Specification


def platform(image: Path) -> dict[str, str]:
    """What an image is for, by its partition table: `architecture` and `firmware` of `qemu.Options`."""
    table = json.loads(process.run(["sfdisk", "--json", image]))["partitiontable"]
    if table["label"] == "dos":
        return {"architecture": "arm64", "firmware": VIRT}
    if table["partitions"][-1]["type"] == ROOT_ON_ARM64:
        return {"architecture": "arm64", "firmware": "uefi"}
    return {"architecture": "amd64", "firmware": "bios"}


def kernel(disk: Path, work: Path) -> Kernel:
    """What a Raspberry Pi's firmware would start from a disk, as config.txt on its FAT partition says."""
    raw = work / "flat.img"
    try:
        process.run(["qemu-img", "convert", "-O", "raw", disk, raw], timeout=300)
        first = json.loads(process.run(["sfdisk", "--json", raw]))["partitiontable"]["partitions"][0]
        card = f"{raw}@@{int(first['start']) * 512}"
        lines = process.run(["mtype", "-i", card, "::config.txt"]).splitlines()
        config = dict(line.replace(" ", "=", 1).split("=", 1) for line in lines if line[:1].isalpha())
        prefix = config["os_prefix"]
        names = {"kernel": config["kernel"], "initrd": config["initramfs"].split()[0], "tree": TREE}
        for name, found in names.items():
            process.run(["mcopy", "-n", "-o", "-i", card, f"::{prefix}{found}", work / name], timeout=120)
        line = process.run(["mtype", "-i", card, f"::{prefix}cmdline.txt"]).strip()
        return Kernel(work / "kernel", work / "initrd", work / "tree", line)
    finally:
        raw.unlink(missing_ok=True)


def variables(template: Path, work: Path) -> Path:
    """A writable copy of the firmware's variables."""
    work.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(template, work / "efivars.fd"))
