"""apt and dpkg: which updates there are, fetching and installing them, and the way back.

apt decides by a file of its own for these runs, overlays/common/usr/share/ztgate/updates/preferences: a newer
version from Debian's ordinary suite is none, one from its security archive or from ZeroTier is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .. import store
from ..errors import ZtgateError
from ..machine import Machine
from ..run import expect_success
from .book import Change

LONGEST = 3600.0  # seconds for a tool that fetches or installs: a slow card and a slow line
# apt-get(8)'s output of --simulate: what it would install, what of it is there already.
INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<old>[^\]]+)\] )?\((?P<new>\S+)", re.MULTILINE)
KERNEL = re.compile(r"linux-(image|binary|modules|base)-\S+")
URI = re.compile(r"^'\S+' \S+ (?P<size>\d+)", re.MULTILINE)  # of --print-uris
SPARE = 64 << 20  # bytes that stay free, as steps/check_disk.py wants them
UNPACKED = 4  # an unpacked package is at most so many times its .deb


def apt(machine: Machine, *words: str) -> str:
    """Run apt-get for an update and return its output; CommandError when it fails."""
    options = (
        *("-o", f"Dir::Etc::Preferences={machine.paths.update_preferences}"),
        *("-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"),
        *("-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30"),
        # Otherwise 87 MB are written each time, to a card that does not last.
        *("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="),
    )
    return _run(machine, "apt-get", "--assume-yes", "--quiet=2", *options, *words)


def _run(machine: Machine, *words: str) -> str:
    argv = ("env", "DEBIAN_FRONTEND=noninteractive", *words)
    return expect_success(argv, *machine.probe(argv, timeout=LONGEST))


def refresh(machine: Machine) -> str:
    """Ask the mirrors what they have; what is wrong if one of them does not say, else "".

    The others have: ZeroTier's being away is no reason to miss Debian's.
    """
    try:
        apt(machine, "-o", "APT::Update::Error-Mode=any", "update")
    except ZtgateError as error:
        return error.message
    return ""


def planned(machine: Machine) -> tuple[Change, ...]:
    """What would change now. Nothing that is there would go."""
    return changes(apt(machine, "--simulate", "--with-new-pkgs", "--quiet=0", "upgrade"))


def changes(simulated: str) -> tuple[Change, ...]:
    """From apt's words for what it would do."""
    return tuple(
        Change(found["name"], found["old"] or "", found["new"]) for found in INSTALL.finditer(simulated)
    )


def is_kernel(name: str) -> bool:
    """Whether a package is a part of a kernel, or brings the newest one."""
    return KERNEL.fullmatch(name) is not None


def with_kernel(some: Iterable[Change]) -> bool:
    """Whether a kernel is among them."""
    return any(is_kernel(change.name) for change in some)


def wanted(some: Iterable[Change]) -> tuple[str, ...]:
    """What apt is to install: the changed ones by version; new ones come as what these need."""
    return tuple(f"{change.name}={change.new}" for change in some if change.old)


def install(machine: Machine, some: Iterable[Change], *, only_fetch: bool = False) -> None:
    """Fetch these versions, or install what was fetched; nothing else is upgraded, and nothing goes."""
    how = "--download-only" if only_fetch else "--no-download"
    apt(machine, how, "--no-remove", "--only-upgrade", "install", *wanted(some))


def exactly(machine: Machine, some: Iterable[Change]) -> tuple[Change, ...]:
    """What would change if these were installed: they may need others."""
    return changes(
        apt(machine, "--simulate", "--quiet=0", "--no-remove", "--only-upgrade", "install", *wanted(some))
    )


def room(machine: Machine, some: Sequence[Change]) -> int:
    """Bytes that it takes at most: the .debs, what is in them, and the old ones that are kept meanwhile."""
    listed = apt(machine, "--print-uris", "--only-upgrade", "install", *wanted(some))
    fetched = sum(int(found["size"]) for found in URI.finditer(listed))
    names = [change.name for change in some if change.old]
    sizes = machine.run(("dpkg-query", "--show", "--showformat=${Installed-Size}\n", *names))
    kept = sum(int(line) << 10 for line in sizes.split() if line.isdigit())  # it is in KiB
    return SPARE + fetched * (1 + UNPACKED) + kept


def mended(machine: Machine) -> None:
    """What a power cut has left half done is done."""
    _run(machine, "dpkg", "--configure", "-a")


def problem(machine: Machine) -> str:
    """What dpkg says of packages that are half there, "" if none is."""
    status, said = machine.probe(("dpkg", "--audit"))
    return " ".join(said.split())[:200] if status or said.strip() else ""


def purge(machine: Machine, names: Sequence[str]) -> None:
    """Have packages go that nothing needs."""
    if names:
        _run(machine, "dpkg", "--purge", *names)


def back(machine: Machine) -> None:
    """Install what was kept: by the script that can do it without Python, too."""
    _run(machine, str(machine.paths.update_undo))


def forget_fetched(machine: Machine) -> None:
    """The .debs are not needed any more."""
    apt(machine, "clean")


def hold(machine: Machine, held: dict[str, str]) -> None:
    """No apt of this machine takes these versions; newer ones it does (apt_preferences(5))."""
    path = machine.paths.update_held
    records = (
        f"Package: {name.partition(':')[0]}\nPin: version {version}\nPin-Priority: -1\n"
        for name, version in held.items()
    )
    if held:
        text = "# Taken back by ztgate, as the gateway suffered. A newer version is taken.\n\n"
        store.write(path, (text + "\n".join(records)).encode())
    elif path.exists():
        store.remove(path)


def kernels(machine: Machine) -> tuple[str, ...]:
    """The packages of kernels that are installed, those that only bring the newest one left out."""
    listed = machine.run(("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\n"))
    names = (line[3:].strip() for line in listed.splitlines() if line.startswith("ii"))
    return tuple(name for name in names if is_kernel(name) and re.search(r"-\d", name))


def check_room(free: int, needed: int) -> None:
    """ZtgateError where the disk is too small."""
    if free < needed:
        mib = f"{needed >> 20} MiB are needed, {free >> 20} are free"
        raise ZtgateError(
            f"updates do not fit on the disk: {mib}", "`du -xhd2 / | sort -h` shows what fills it"
        )
