"""This builder, in a copy of the repository whose overlays may be changed."""

import shlex
import sys

from lab.bench.tools import ADDED, COLD, MORE, OVERLAY, PACKAGES, UNCHANGED, Recipe, Task

NAME = "ztgate"
# What is taken along of the repository: what is under way, and not what was committed.
PARTS = ("build.py", "builder", "firstboot", "images", "lab", "overlays", "requirements*.txt")
COPY = """\
mkdir source
cp -r {parts} source
ln -s {venv} source/.venv
rm -f source/images/*.lock
"""
FORGET = "find cache -mindepth 1 -maxdepth 1 ! -name packages ! -name locks -exec rm -r {} +"

ADD = "sed -i '/^packages:/a\\  - {more}' source/images/{image}.yaml"


def recipe(task: Task) -> Recipe:
    """The verb `build`."""
    parts = " ".join(f"{shlex.quote(str(task.root))}/{part}" for part in PARTS)
    build = (
        f"{shlex.quote(sys.executable)} source/build.py build {task.image} --quiet --cache cache --out . "
        f"--zerotier {shlex.quote(str(task.zerotier))} --mirror {shlex.quote(task.mirror)}"
    )
    return Recipe(
        NAME,
        "GPT, ext4, GRUB for BIOS and UEFI; and the gateway itself",
        "",
        dict.fromkeys((COLD, PACKAGES, OVERLAY, UNCHANGED, ADDED), build),
        prepare=COPY.format(parts=parts, venv=shlex.quote(sys.prefix)),
        forget={PACKAGES: FORGET, ADDED: ADD.format(more=MORE, image=task.image)},
        overlay="source/overlays/vps",
        result=f"{task.image}.img",
    )
