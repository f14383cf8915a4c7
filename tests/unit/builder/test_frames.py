"""Personal images as .zst: unpacked they are the raw ones, whatever unpacks them."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

import build
from builder import batch, frames
from builder.errors import BuildError

from .test_batch import CSV, NETWORK, image, make, put
from .test_copies import differing, long_csv

__all__ = ["image"]  # a fixture
PACKED = batch.How(".img.zst", checksums=True)


@pytest.fixture
def zstd() -> str:
    found = shutil.which("zstd")
    assert found, "zstd is missing: ./build.py setup installs it"
    return found


def packed(image: Path, text: str, out: Path) -> list[batch.Receipt]:
    return batch.configure(image, put(image.parent, text), out, lambda _: None, PACKED)


def test_unpacked_it_is_the_raw_image(image: Path, tmp_path: Path, zstd: str) -> None:
    """By zstd itself, for texts of four lengths; but for the time of the file in its directory entry."""
    receipts = packed(image, long_csv(6), tmp_path / "packed")
    make(image, put(tmp_path, long_csv(6)))
    for receipt in receipts:
        file = tmp_path / "packed" / receipt.file
        assert (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size) == (
            receipt.sha256,
            receipt.size,
        )
        assert file.stat().st_mode & 0o777 == 0o600
        subprocess.run([zstd, "-q", "--test", str(file)], check=True)
        unpacked = subprocess.run([zstd, "-dcq", str(file)], check=True, capture_output=True).stdout
        raw = (tmp_path / "new/out" / file.name.removesuffix(".zst")).read_bytes()
        assert differing(unpacked, raw) <= 10, "its entry's times"


def test_what_they_share_is_compressed_once(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and the frames of its own have next to nothing of an image."""
    shared: list[frames.Piece] = []
    before = frames._shared

    def counted(image: int, start: int, end: int, out: int) -> frames.Piece:
        shared.append(before(image, start, end, out))
        return shared[-1]

    monkeypatch.setattr(frames, "_shared", counted)
    packed(image, CSV, tmp_path / "few")
    few, shared[:] = len(shared), []
    rows = "".join(f"x{i},{NETWORK}\n" for i in range(50))
    packed(image, f"file,network\n{rows}", tmp_path / "many")
    assert len(shared) == few > 1
    assert image.stat().st_size - sum(piece.end - piece.start for piece in shared) < 256 << 10


def test_there_must_be_room_for_the_packed_ones_only(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_can_reflink", lambda *_: False)
    needed = 0

    def usage(_: Path) -> object:
        return shutil._ntuple_diskusage(0, 0, needed)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(BuildError, match="no room: 0 MiB are free, 2 images need"):
        packed(image, CSV, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    needed = image.stat().st_blocks * 512
    assert len(packed(image, CSV, tmp_path / "out")) == 2


@pytest.mark.parametrize("name", ["berlin.img", "berlin.img.zst"])
def test_the_ending_is_added(image: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildError, match=r"\.img\.zst is added to it") as e:
        packed(image, CSV.replace("berlin,", f"{name},"), tmp_path / "out")
    assert e.value.hint == "write `berlin`"


def test_the_command(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["configure", str(image), "--batch", str(put(tmp_path, CSV)), "--format", "raw.zst", "--json"]
    assert build.main(words) == 0
    receipts = json.loads(capsys.readouterr().out)["receipts"]
    assert sorted(receipt["file"] for receipt in receipts) == ["berlin.img.zst", "paris.img.zst"]
    assert all((tmp_path / "base-gateways" / receipt["file"]).exists() for receipt in receipts)
