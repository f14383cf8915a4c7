"""vmdb2, on a loop device: that way it needs no device mapper."""

import json

from lab.bench.tools import COLD, OVERLAID, OVERLAY, UNCHANGED, Recipe, Task

NAME = "vmdb2"
# JSON is YAML, too. `unless` and the tarball are vmdb2's own cache.
BUILD = """\
truncate --size=2G disk.img
device=$(losetup --find --partscan --show disk.img)
vmdb2 recipe.yaml --image "$device" --rootfs-tarball root.tar --log vmdb2.log --verbose || status=$?
losetup --detach "$device"
exit ${status:-0}
"""
# Debian's way to keep servers from starting: vmdb2 has a plain chroot.
POLICY = "/usr/sbin/policy-rc.d"


def recipe(task: Task) -> Recipe:
    """A recipe as its manual has them."""
    return Recipe(
        NAME,
        "GPT, ext4, GRUB for BIOS",
        NAME,
        dict.fromkeys((COLD, OVERLAY, UNCHANGED), BUILD),
        files={"recipe.yaml": json.dumps({"steps": steps(task)}, indent=1)},
    )


def steps(task: Task) -> list[dict[str, object]]:
    """Partitions, the system, GRUB."""
    image, fresh = "{{ image }}", {"unless": "rootfs_unpacked"}
    return [
        {"mklabel": "gpt", "device": image},
        {"mkpart": "primary", "device": image, "start": "1MiB", "end": "2MiB", "tag": "bios"},
        {"set_part_flag": image, "tag": "bios", "flag": "bios_grub"},
        {"mkpart": "primary", "device": image, "start": "2MiB", "end": "100%", "tag": "root"},
        {"mkfs": "ext4", "partition": "root", "label": "root"},
        {"mount": "root", "zerofree": False},
        {"unpack-rootfs": "root"},
        {"debootstrap": task.suite, "mirror": task.mirror, "target": "root", "variant": "minbase", **fresh},
        {"create-file": POLICY, "contents": "#!/bin/sh\nexit 101\n", "perm": 0o755, **fresh},
        {"apt": "install", "tag": "root", "recommends": False, "packages": [*task.packages], **fresh},
        {"cache-rootfs": "root", **fresh},
        {"copy-file": f"/{OVERLAID}", "src": f"overlay/{OVERLAID}"},
        {"fstab": "root"},
        {"grub": "bios", "tag": "root", "image-dev": image},
    ]
