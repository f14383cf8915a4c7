"""debos, on this machine itself: in its virtual machine, without KVM, everything would be emulated."""

import json

from lab.bench.tools import COLD, OVERLAY, UNCHANGED, Recipe, Task

NAME = "debos"
DEBOS = "debos --disable-fakemachine --verbose --artifactdir=. "
# The way of its own examples: one recipe packs the system, another one makes images of it.
SYSTEM = f"{DEBOS} system.yaml"
DISK = f"{DEBOS} disk.yaml"


def recipe(task: Task) -> Recipe:
    """Two recipes; they are templates, so JSON must not have two braces in a row."""
    parts = {"system.yaml": system(task), "disk.yaml": disk()}
    return Recipe(
        NAME,
        "GPT, ext4, GRUB for BIOS",
        NAME,
        {COLD: f"{SYSTEM}\n{DISK}", OVERLAY: DISK, UNCHANGED: DISK},
        files={
            name: json.dumps({"architecture": "amd64", "actions": said}, indent=1)
            for name, said in parts.items()
        },
    )


def system(task: Task) -> list[dict[str, object]]:
    """A tar of the packages, and of what makes it boot."""
    return [
        {
            "action": "debootstrap",
            "suite": task.suite,
            "components": ["main"],
            "mirror": task.mirror,
            "variant": "minbase",
        },
        {"action": "apt", "recommends": False, "packages": [*task.packages, "grub-pc"]},
        {"action": "pack", "file": "root.tar", "compression": "none"},
    ]


def disk() -> list[dict[str, object]]:
    """Partitions, what is laid over, GRUB."""
    return [
        {"action": "unpack", "file": "root.tar"},
        {"action": "overlay", "source": "overlay"},
        {
            "action": "image-partition",
            "imagename": "disk.img",
            "imagesize": "2GB",
            "partitiontype": "gpt",
            "mountpoints": [{"mountpoint": "/", "partition": "root"}],
            "partitions": [
                {"name": "bios", "fs": "none", "start": "1MiB", "end": "2MiB", "flags": ["bios_grub"]},
                {"name": "root", "fs": "ext4", "start": "2MiB", "end": "100%"},
            ],
        },
        {"action": "filesystem-deploy"},
        {"action": "run", "chroot": True, "command": "update-grub && grub-install --target=i386-pc $IMAGE"},
    ]
