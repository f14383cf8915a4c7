"""Each file that `export` makes starts: in QEMU, by its own driver for that format."""

import gzip
import hashlib
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import process
from lab.world import FAILED, READY, WAITING, World
from tests.conftest import ROOT

from .conftest import Make

pytestmark = pytest.mark.soak
PACKED = ("raw.zst", "raw.xz", "raw.gz")
DISKS = ("raw", "qcow2", "vmdk", "vhd", "vhdx")


@pytest.fixture(scope="module")
def exported(world: World) -> Path:
    """All formats, by one command."""
    out = world.work / "exported"
    formats = [word for name in (*PACKED, *DISKS) for word in ("--format", name)]
    process.run(
        [sys.executable, ROOT / "build.py", "export", world.image, *formats, "--out", out], timeout=3600
    )
    return out


def by_zstd(path: Path) -> bytes:
    return subprocess.run(["zstd", "-d", "-q", "-c", path], check=True, capture_output=True).stdout


UNPACK: dict[str, Callable[[Path], bytes]] = {
    "raw.zst": by_zstd,
    "raw.xz": lambda path: lzma.decompress(path.read_bytes()),
    "raw.gz": lambda path: gzip.decompress(path.read_bytes()),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_unpacked_is_the_image(world: World, exported: Path, name: str) -> None:
    """By another program than the one that packed it; so that it starts is known of all three at once."""
    whole = UNPACK[name](exported / f"{world.image.stem}.img{name.removeprefix('raw')}")
    with world.image.open("rb") as image:
        assert hashlib.sha256(whole).hexdigest() == hashlib.file_digest(image, "sha256").hexdigest()


@pytest.mark.parametrize("name", DISKS)
def test_it_starts(world: World, make: Make, exported: Path, name: str) -> None:
    """Up to ztgate's first word: it has no configuration, and says so."""
    suffix = {"raw": "img"}.get(name, name)
    gateway = make(None, exported=exported / f"{world.image.stem}.{suffix}")
    gateway.start()
    assert "configuration" in gateway.expect(WAITING, never=f"{FAILED}|{READY}")["reason"]
