"""How large images are, packed and raw; and that nothing is missing of what was made smaller."""

import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .conftest import Disk, tool

MB, GIB = 1_000_000, 1 << 30
# Bytes: packed by zstd -9, and raw. `export` packs with -19, which takes minutes and makes some 7 % less.
LIMITS = {"vps": (110 * MB, GIB), "pi": (190 * MB, 2 * GIB)}


def table(disk: Disk) -> str:
    """What fills it."""
    words = [sys.executable, str(ROOT / "build.py"), "size", disk.name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", LIMITS)
def test_an_image_is_small(name: str, request: pytest.FixtureRequest) -> None:
    disk: Disk = request.getfixturevalue(name)
    packed = len(tool("zstd", "-9", "-q", "-c", "-T2", disk.path))
    raw = disk.path.stat().st_size
    most = LIMITS[name]
    assert packed <= most[0] and raw <= most[1], f"{packed} bytes packed, {raw} raw\n{table(disk)}"


# Without these a machine has no network, no disk or no console; dpkg leaves out others (overlays/bootstrap).
NEEDED = {
    "pi": "genet macb smsc95xx lan78xx r8152 ax88179_178a r8169 brcmfmac nvme usb_storage uas xhci_pci vc4",
    "vps": "virtio_net virtio_scsi xen_netfront hv_netvsc ena vmxnet3 mlx5_core mana gve ixgbevf",
}


def release(disk: Disk) -> str:
    (name,) = disk.root.names("/usr/lib/modules")
    return f"/usr/lib/modules/{name}"


def called(path: str) -> str:
    """A module's name: kernel/drivers/usb/host/xhci-pci.ko.xz is xhci_pci."""
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def modules(disk: Disk) -> set[str]:
    lists = (disk.root.text(f"{release(disk)}/{name}") for name in ("modules.dep", "modules.builtin"))
    return {called(line.partition(":")[0]) for text in lists for line in text.splitlines()}


@pytest.mark.parametrize("name", NEEDED)
def test_the_drivers_that_matter_are_there(name: str, request: pytest.FixtureRequest) -> None:
    assert set(NEEDED[name].split()) - modules(request.getfixturevalue(name)) == set()


@pytest.mark.soak
def test_no_module_lacks_another(disk: Disk, tmp_path: Path) -> None:
    """Each one says itself which others it needs."""
    disk.root.ask(f'rdump "{release(disk)}" "{tmp_path}"')
    there, files = modules(disk), list(tmp_path.rglob("*.ko.xz"))
    assert len(files) > 500
    for file in files:
        (needs,) = re.findall(rb"\0depends=([^\0]*)", lzma.decompress(file.read_bytes()))
        lacking = {word.replace("-", "_") for word in needs.decode().split(",") if word} - there
        assert not lacking, f"{file.name} needs {lacking}"
