"""mkosi as Debian 12 has it: later ones read other files, and have their own way to build.

Its boot loader is for UEFI alone, and a kernel without FAT cannot install it. So it makes a disk without one.
"""

from lab.bench.tools import COLD, OVERLAY, PACKAGES, UNCHANGED, Recipe, Task

NAME = "mkosi"
CONFIGURATION = """\
[Distribution]
Distribution=debian
Release={suite}
Mirror={mirror}

[Output]
Format=gpt_ext4
Output=disk.img
Bootable=no
Incremental=yes

[Content]
Packages={packages}
ExtraTrees=overlay
PostInstallationScript=initrd

[Partitions]
RootSize=2G

[Host]
NspawnKeepUnit=yes
"""
# It keeps the kernel's package from making one, as it would make its own with a boot loader.
INITRD = """\
#!/bin/sh
update-initramfs -c -k all
"""
FIRST = 15  # the first version that reads mkosi.conf
BUILD = f"""\
version=$(mkosi --version | tr -dc 0-9)
[ "$version" -lt {FIRST} ] || {{ echo "mkosi $version reads other files than the recipe's"; exit 1; }}
exec mkosi --workspace-dir "$PWD/workspace" --cache "$PWD/packages" --force build
"""


def recipe(task: Task) -> Recipe:
    """A disk of its smallest kind that boots, if somebody brings a boot loader."""
    packages = ",".join(task.packages)
    return Recipe(
        NAME,
        "GPT, ext4, no boot loader",
        NAME,
        dict.fromkeys((COLD, PACKAGES, OVERLAY, UNCHANGED), BUILD),
        files={
            "mkosi.default": CONFIGURATION.format(suite=task.suite, mirror=task.mirror, packages=packages),
            "initrd": INITRD,
        },
        prepare="mkdir workspace packages && chmod +x initrd",
        forget={PACKAGES: "mkosi --force clean && rm -rf workspace/*"},
    )
