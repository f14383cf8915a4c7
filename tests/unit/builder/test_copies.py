"""Copies made from a pattern are those that mtools would make, and cost next to nothing each."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder import batch, copies, gateway_config, partitions, run
from builder.files import copy_sparse

from .test_batch import KEYS, NETWORK, image, make, put
from .test_gateway_config import content, listing

__all__ = ["image"]  # a fixture


def long_csv(count: int) -> str:
    """Texts of four lengths; the keys of one fill several clusters, and its letters take two bytes each."""
    key = f'"{";".join(KEYS * 40)}"'
    rows = (
        f"x{i},{NETWORK},{'é' * (i % 2 + 1)},hush-hush,DE,{key if i % 3 == 0 else ''}" for i in range(count)
    )
    return "file,network,wifi.ssid,wifi.password,wifi.country,ssh.authorized-keys\n" + "\n".join(rows) + "\n"


def test_an_image_is_what_configure_makes_of_a_copy(image: Path, tmp_path: Path) -> None:
    """On a FAT partition that is used and has gaps, but for the file's time."""
    offset = gateway_config.firmware_offset(image)
    for number in range(6):
        gateway_config.put(image, offset, "x" * 700, f"old-{number}")
    for number in range(0, 6, 2):
        gateway_config._forget(image, offset, f"old-{number}")
    out = tmp_path / "new/out"
    make(image, put(tmp_path, long_csv(4)))
    for entry in batch.read(tmp_path / "gateways.csv"):
        made, copy = out / f"{entry.file}.img", tmp_path / "copy.img"
        shutil.copyfile(image, copy)
        gateway_config.put(copy, offset, entry.text)
        assert content(made) == content(copy) == entry.text
        assert listing(made) == listing(copy)
        assert differing(made.read_bytes(), copy.read_bytes()) <= 10, "its entry's times"
    subprocess.run(["fsck.vfat", "-n", "-v", _fat(made, tmp_path)], check=True, capture_output=True)


def differing(one: bytes, other: bytes, piece: int = 1 << 16) -> int:
    """How many bytes are not the same."""
    if one == other:
        return 0
    if max(len(one), len(other)) <= piece:
        return sum(x != y for x, y in zip(one, other, strict=True))
    pairs = ((one[i : i + piece], other[i : i + piece]) for i in range(0, max(len(one), len(other)), piece))
    return sum(differing(*pair) for pair in pairs)


def _fat(image: Path, tmp_path: Path) -> Path:
    """The FAT partition alone."""
    offset = gateway_config.firmware_offset(image)
    with image.open("rb") as disk:
        size = next(part.size for part in partitions.read(disk) if part.offset == offset)
        disk.seek(offset)
        (tmp_path / "fat").write_bytes(disk.read(size))
    return tmp_path / "fat"


@pytest.mark.parametrize("can", [True, False])
def test_no_program_is_started_for_an_image(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    """A thousand images start as many as one does: what costs is looked up once for each length."""
    if not can:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    started: list[str] = []
    run.watch(started.append)
    try:
        make(image, put(tmp_path, long_csv(6)))
        few, started[:] = len(started), []
        spent = os.times()
        make(image, put(tmp_path, long_csv(200)), force=True)
        took = cpu(os.times()) - cpu(spent)
        assert len(started) == few > 0
        spent = os.times()
        for number in range(10):
            copy = tmp_path / f"{number}.img"
            copy.touch()
            copy_sparse(image, copy)
            gateway_config.put(copy, gateway_config.firmware_offset(copy), f"network: {NETWORK}\n")
        one = (cpu(os.times()) - cpu(spent)) / 10
    finally:
        run.watch(None)
    assert took / 200 < one, f"{took / 200:.4f} s each, of the processor, and {one:.4f} one by one"


def cpu(times: os.times_result) -> float:
    return times.user + times.system + times.children_user + times.children_system


def refuse(*_: object) -> int:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("can", [True, False])
def test_a_source_that_got_shorter_ends_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    """It was looked at before: there were two MiB of data in it."""
    if not can:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(copies, "_data", lambda *_: iter([(0, 2 << 20)]))
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 1000)
    target.touch()
    copies._copied(source, target)
    assert target.read_bytes() == source.read_bytes()
