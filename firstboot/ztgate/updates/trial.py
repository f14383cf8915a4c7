"""A kernel is tried once: the boot loader goes back to the one before, unless it is told that all is well.

GRUB writes `tried` in the place of `new` before it starts a kernel on trial; where it finds `tried`, that has
come to nothing (overlays/vps/boot/grub/grub.cfg.j2). It goes back to the kernel and the initrd that ran
before the update, under other names, so that an initrd that was made anew is on trial, too.
"""

from __future__ import annotations

import os

from .. import store
from ..paths import Paths

SIZE = 1024  # bytes: GRUB overwrites this file where it lies, and never makes it longer
HEAD = "# GRUB Environment Block\n"
NEW, TRIED, NONE = "new", "tried", ""
FELL_BACK = "ztgate.kernel=good"  # on the command line of the kernel that GRUB goes back to
FILES = ("vmlinuz", "initrd.img")


def environment(value: str) -> bytes:
    """GRUB's environment block with its one variable."""
    text = HEAD + (f"next={value}\n" if value else "")
    return text.encode().ljust(SIZE, b"#")


def can(paths: Paths) -> bool:
    """Whether there is a boot loader that can try."""
    return paths.grub_environment.is_file() and paths.grub_environment.stat().st_size == SIZE


def begin(paths: Paths, release: str) -> bool:
    """The next boot is a trial, and this kernel the one to go back to. False where that cannot be done."""
    running = [paths.boot / f"{name}-{release}" for name in FILES]
    if not can(paths) or not all(path.is_file() for path in running):
        return False
    forget(paths)
    paths.good_kernel.mkdir()
    for name, path in zip(FILES, running, strict=True):
        os.link(path, paths.good_kernel / name)
    store.sync_directory(paths.good_kernel)
    store.sync_directory(paths.boot)
    say(paths, NEW)
    return True


def again(paths: Paths) -> None:
    """It has started, and is not proved yet: another boot is a trial as well."""
    if can(paths) and paths.good_kernel.is_dir():
        say(paths, NEW)


def end(paths: Paths) -> None:
    """What starts now is to start always."""
    if can(paths):
        say(paths, NONE)
        forget(paths)


def go_back(paths: Paths) -> None:
    """The next boot is the kernel from before."""
    say(paths, TRIED)


def fell_back(paths: Paths) -> bool:
    """Whether GRUB has gone back."""
    return FELL_BACK in (store.read_text(paths.kernel_command_line) or "").split()


def say(paths: Paths, value: str) -> None:
    """Tell GRUB, in place: it knows the file by where its bytes lie."""
    store.overwrite(paths.grub_environment, ((0, environment(value)),))


def forget(paths: Paths) -> None:
    """The kernel from before is a package's only, again."""
    for name in FILES:
        (paths.good_kernel / name).unlink(missing_ok=True)
    if paths.good_kernel.is_dir():
        paths.good_kernel.rmdir()
