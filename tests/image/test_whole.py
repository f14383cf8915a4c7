"""Every file of every image: its machine, its owner, and that it gives nobody away."""

import fnmatch
import lzma
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

from . import whole
from .conftest import Disk
from .whole import File, Machine, Whole

# ELF's e_machine (62 x86-64, 183 AArch64, 137 VideoCore) and the PE format's Machine.
NATIVE: dict[str, set[Machine]] = {
    "vps-amd64": {("ELF64", 62), ("PE", 0x8664)},
    "rpi-arm64": {("ELF64", 183), ("PE", 0xAA64)},
}
# image, path, what it is for, why that is right
FOREIGN: list[tuple[str, str, Machine, str]] = [
    ("rpi-arm64", "/usr/lib/raspberry-pi/start*.elf", ("ELF32", 137), "the board's GPU runs it first"),
    ("rpi-arm64", "fat:/start*.elf", ("ELF32", 137), "the same where the board finds it"),
]
# Names that must be nowhere, and why.
UNWANTED = {
    "*/*.secret": "a secret of ZeroTier's or systemd's",
    "*/identity.public": "a ZeroTier node",
    "*/ssh_host_*": "the host key of one machine",
    "*/.ssh/*": "somebody's key",
    "*/id_rsa*": "somebody's key",
    "*/id_ed25519*": "somebody's key",
    "/etc/ssl/private/*": "a private key",
    "*/random-seed": "the same randomness everywhere",
    "*/.*_history": "what somebody typed",
    "*/.lesshst": "what somebody read",
    "*/.viminfo": "what somebody edited",
    "*/.wget-hsts": "what somebody downloaded",
    "*/.netrc": "somebody's password",
    "*/.gitconfig": "somebody's name",
    "*/.git/*": "somebody's repository",
    "*/.cache/*": "somebody's cache",
    "/var/lib/cloud/*": "what cloud-init was told",
    "/var/lib/ztgate/*": "the state of a gateway",
    "*/ztgate-status.txt": "the state of a gateway",
    "*/gateway.yaml": "a configuration, perhaps with a token",
    "*/nohup.out": "left by the build",
    "*/.native/*": "left by the build",
    "*/lost+found/*": "what fsck found",
}


@pytest.fixture(scope="session")
def all_of_it(disk: Disk, initrd: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    places = {ROOT, disk.path.parent.parent} - {Path("/")}
    return whole.read(disk, initrd, tmp_path_factory.mktemp("fat"), places)


@pytest.fixture(scope="session")
def files(all_of_it: Whole) -> dict[str, File]:
    return all_of_it.files


def test_every_program_is_for_the_machine(disk: Disk, all_of_it: Whole) -> None:
    foreign = [row for row in FOREIGN if row[0] == disk.name]

    def is_right(path: str, machine: Machine) -> bool:
        allowed = {fits for _, pattern, fits, _ in foreign if fnmatch.fnmatchcase(path, pattern)}
        return machine in (allowed or NATIVE[disk.name])

    assert {p: m for p, m in all_of_it.machines.items() if not is_right(p, m)} == {}


def test_every_exception_is_still_one(all_of_it: Whole, disk: Disk) -> None:
    for name, pattern, machine, _ in FOREIGN:
        found = {m for path, m in all_of_it.machines.items() if fnmatch.fnmatchcase(path, pattern)}
        assert found == ({machine} if name == disk.name else set()), pattern


def test_programs_were_looked_at(all_of_it: Whole) -> None:
    """Each place has some: a pass that reads nothing would find nothing wrong."""
    modules = [path for path in all_of_it.files if re.search(r"/modules/.*\.ko(\.\w+)?$", path)]
    assert len(modules) > 500
    assert [path for path in modules if path not in all_of_it.machines] == []
    assert {"/usr/bin/bash", "/usr/sbin/nft", "/usr/bin/python3.13"} <= set(all_of_it.machines)
    assert any(path.startswith("initrd:/") and ".ko" in path for path in all_of_it.machines)
    assert any(path.startswith("initrd:/usr/bin/") for path in all_of_it.machines)
    assert any(path.startswith("fat:/") for path in all_of_it.machines)


def test_every_file_belongs_to_somebody_of_the_image(disk: Disk, files: dict[str, File]) -> None:
    users, groups = (
        {int(line.split(":")[2]) for line in disk.root.text(f"/etc/{name}").splitlines()}
        for name in ("passwd", "group")
    )
    strangers = {
        path: file.owner
        for path, file in files.items()
        if file.owner[0] not in users or file.owner[1] not in groups
    }
    assert strangers == {}
    assert {user for user in users if user >= 1000} == {65534}, "nobody's account but nobody's"


def test_nobody_owns_what_others_run(files: dict[str, File]) -> None:
    owners = {
        path: file.owner[0]
        for path, file in files.items()
        if path.startswith(("/usr/", "/boot/", "/etc/", "/root")) and file.owner[0] != 0
    }
    assert owners == {}


def test_there_are_no_devices_and_no_sockets(files: dict[str, File]) -> None:
    assert len(files) > 5000
    assert {path: f.kind for path, f in files.items() if f.kind not in whole.KINDS.values()} == {}


def test_everybody_may_write_where_all_do_only(files: dict[str, File]) -> None:
    writable = {path: f.mode for path, f in files.items() if f.mode & 0o002 and f.kind != "symlink"}
    assert writable == {"/tmp": 0o1777, "/var/tmp": 0o1777}


def test_no_name_says_whose_it_is(all_of_it: Whole) -> None:
    paths = {*all_of_it.files, *all_of_it.paths}
    assert "fat:/README.txt" in paths
    found = [(path, why) for path in paths for p, why in UNWANTED.items() if fnmatch.fnmatchcase(path, p)]
    assert found == []


def test_no_content_gives_anybody_away(all_of_it: Whole) -> None:
    assert all_of_it.giveaways == []


def elf(bits: int, machine: int, order: str = "little") -> bytes:
    head = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2])
    return head.ljust(18, b"\0") + machine.to_bytes(2, order) + bytes(44)  # type: ignore[arg-type]


# a file's content, and what is seen in it: the checks above are only as good as this
SEEN: list[tuple[bytes, Machine | None]] = [
    (elf(64, 62), ("ELF64", 62)),
    (elf(32, 40), ("ELF32", 40)),
    (elf(32, 8, "big"), ("ELF32", 8)),
    (b"!<arch>\n" + b"x/ 60`\n" * 9 + elf(64, 183), ("ELF64", 183)),
    (b"MZ".ljust(60, b"\0") + b"\x40\0\0\0PE\0\0\x64\x86", ("PE", 0x8664)),
    (b"MZ is how a text may begin", None),
    (b"#!/bin/sh\n", None),
    (b"", None),
]


@pytest.mark.parametrize(("content", "machine"), SEEN, ids=range(len(SEEN)))
def test_a_machine_is_seen(content: bytes, machine: Machine | None) -> None:
    assert whole.machine_of(content) == machine
    assert whole.machine_of(lzma.compress(content)) == machine


# a file's content, and what it gives away
KEY = b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz"
LEAKS = [
    (b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + KEY, "a private key"),
    (b"-----BEGIN PRIVATE KEY-----\r\n" + KEY, "a private key"),
    (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "a private key"),
    (b'MARK = "-----BEGIN OPENSSH PRIVATE KEY-----"\n', ""),
    (b"116be780b4:0:" + b"0a" * 64 + b":" + b"0b" * 64, "a ZeroTier node's secret"),
    (b"116be780b4:0:" + b"0a" * 64, ""),
    (b"in /tmp/mmdebstrap.Xy12Zq/etc", "a directory of the build"),
]


@pytest.mark.parametrize(("content", "what"), LEAKS, ids=range(len(LEAKS)))
def test_a_giveaway_is_seen(content: bytes, what: str) -> None:
    found = Whole({})
    found.look("/x", b"before it\n" + content + b"\nafter it\n", whole.GIVEAWAYS)
    assert found.giveaways == ([f"/x: {what}"] if what else [])
