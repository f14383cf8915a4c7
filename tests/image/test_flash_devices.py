"""`flash` and `configure` on real block devices: loop devices over memory that fails where we say."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import lzma
import os
import random
import re
import signal
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import build
from builder import flash
from tests.unit.builder.test_cli import Done, Run
from tests.unit.builder.test_gateway_config import OFFSET, TOKEN, VALID, make_image

from .cards import READ_ONLY, STALE, Card, Hook
from .conftest import tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

MIB = 1 << 20
CARD = 32 * MIB
MakeCard = Callable[..., Card]


@pytest.fixture
def make_card() -> Iterator[MakeCard]:
    with ExitStack() as stack:

        def make(size: int = CARD, sector: int = 512, flags: int = 0) -> Card:
            made = Card(size, sector, flags)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def card(make_card: MakeCard) -> Card:
    return make_card()


@pytest.fixture(scope="module")
def content() -> bytes:
    """An image that does not end with a block, and has blocks of zeros in its middle."""
    chance = random.Random(1)
    table = struct.pack("<B3xB3xII", 0, 0x83, 2048, 20 * 2048).ljust(64, b"\0")
    whole = bytearray(22 * MIB + 100)
    whole[:512] = chance.randbytes(446) + table + b"\x55\xaa"
    for start, size in ((1, 3), (8, 8), (20, 2)):
        whole[start * MIB : (start + size) * MIB] = chance.randbytes(size * MIB)
    return bytes(whole)


@pytest.fixture
def image(tmp_path: Path, content: bytes) -> Path:
    """The same, with holes."""
    path = tmp_path / "x.img"
    with path.open("wb") as f:
        for at in range(0, len(content), MIB):
            if any(content[at : at + MIB]):
                f.seek(at)
                f.write(content[at : at + MIB])
        f.truncate(len(content))
    assert path.stat().st_blocks * 512 < len(content) - 7 * MIB
    return path


@pytest.fixture
def run_flash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`./build.py flash IMAGE DEVICE --yes --json` in this process, with a hook."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(image: Path, device: str, *more: str, hook: Hook | None = None) -> Done:
        monkeypatch.setattr(flash, "ByteBar", lambda: hook or Hook())
        status = build.main(["flash", str(image), device, "--yes", "--json", *(more or ["--not-removable"])])
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    yield call
    signal.signal(signal.SIGTERM, handler)


PACKERS: dict[str, Callable[[Path], bytes]] = {
    "gz": lambda path: gzip.compress(path.read_bytes(), 1),
    "xz": lambda path: lzma.compress(path.read_bytes(), preset=0),
    "zst": lambda path: tool("zstd", "-q", "-c", path),
}


@pytest.mark.parametrize("packed", ["", *PACKERS])
def test_every_byte_of_the_image_is_there(
    card: Card, image: Path, content: bytes, run_flash: Run, packed: str
) -> None:
    if packed:
        raw, image = image, image.with_suffix(f".img.{packed}")
        image.write_bytes(PACKERS[packed](raw))
    done = run_flash(image, card.path)
    assert done.status == 0, done.stderr
    assert card.at(0, len(content)) == content
    sectors = -(-len(content) // 512) * 512
    assert card.at(len(content), sectors - len(content)).strip(b"\0") == b""
    assert card.at(sectors, CARD).strip(STALE) == b""
    said = json.loads(done.stdout)
    assert said.pop("seconds") >= 0
    assert said == {
        "ok": True,
        "device": card.path,
        "image": str(image),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "verified": True,
    }
    assert f"next: ./build.py configure {card.path} --config gateway.yaml" in done.stderr


@pytest.mark.parametrize("phase", ["writing", "reading back"])
@pytest.mark.parametrize("after", [0, 12 * MIB, 21 * MIB])
def test_the_partition_table_comes_last(
    card: Card, image: Path, content: bytes, run_flash: Run, phase: str, after: int
) -> None:
    heads: list[bytes] = []
    assert (
        run_flash(image, card.path, hook=Hook(phase, after, lambda: heads.append(card.at(0, MIB)))).status
        == 0
    )
    assert heads == [bytes(MIB)]
    assert card.at(0, MIB) == content[:MIB]


def test_a_card_that_is_as_big_as_the_image(make_card: MakeCard, image: Path, run_flash: Run) -> None:
    card = make_card(22 * MIB + 512)
    assert run_flash(image, card.path).status == 0
    assert card.at(0, 22 * MIB + 100) == image.read_bytes()


def test_a_partition_that_the_kernel_cannot_forget_is_no_error(
    card: Card, image: Path, content: bytes, run_flash: Run
) -> None:
    with Path(card.partition()).open("rb"):
        assert run_flash(image, card.path).status == 0
    assert card.at(0, len(content)) == content


def mounted(device: str, where: Path, undo: ExitStack) -> None:
    tool("mkfs.ext4", "-q", "-O", "^has_journal", device)
    where.mkdir()
    tool("mount", "-o", "ro", device, where)
    undo.callback(tool, "umount", where)


def a_partition_of_it(card: Card, _: Path, __: ExitStack) -> str:
    return card.partition()


def a_mounted_disk(card: Card, scratch: Path, undo: ExitStack) -> str:
    mounted(card.path, scratch / "mnt", undo)
    return card.path


def a_mounted_partition(card: Card, scratch: Path, undo: ExitStack) -> str:
    mounted(card.partition(), scratch / "mnt", undo)
    return card.path


def a_disk_that_another_program_has(card: Card, _: Path, undo: ExitStack) -> str:
    undo.callback(os.close, os.open(card.path, os.O_RDWR | os.O_EXCL))
    return card.path


def a_link_to_a_mounted_disk(card: Card, scratch: Path, undo: ExitStack) -> str:
    mounted(card.path, scratch / "mnt", undo)
    (scratch / "link").symlink_to(card.path)
    return str(scratch / "link")


Prepare = Callable[[Card, Path, ExitStack], str]
USED: dict[Prepare, tuple[str, str]] = {
    a_partition_of_it: ("TYPED is a partition of DISK", "name the whole disk: DISK"),
    a_mounted_disk: ("TYPED: it is mounted on SCRATCH/mnt", "sudo umount SCRATCH/mnt"),
    a_mounted_partition: ("TYPED: DISKp1 is mounted on SCRATCH/mnt", "sudo umount SCRATCH/mnt"),
    a_link_to_a_mounted_disk: ("TYPED (DISK): DISK is mounted on SCRATCH/mnt", "sudo umount SCRATCH/mnt"),
    a_disk_that_another_program_has: ("TYPED: another program uses it", "lsblk DISK or sudo fuser -v DISK"),
}


@pytest.mark.parametrize(("prepare", "said"), USED.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_used_disk_is_left_alone(
    card: Card, image: Path, run_flash: Run, tmp_path: Path, prepare: Prepare, said: tuple[str, str]
) -> None:
    with ExitStack() as undo:
        typed = prepare(card, tmp_path, undo)
        before = card.at(0, CARD)
        done = run_flash(image, typed)
        assert card.at(0, CARD) == before
    message, hint = (
        text.replace("TYPED", typed).replace("DISK", card.path).replace("SCRATCH", str(tmp_path))
        for text in said
    )
    assert done.status == 1
    assert f"error: {message}\nhint:  {hint}" in done.stderr
    assert json.loads(done.stdout)["error"] == message


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        ({}, ["--yes"], " (/memfd:card (deleted), 34 MB) is no disk that can be taken out"),
        ({"flags": READ_ONLY}, [], ": it is read-only"),
        ({"sector": 4096}, [], ": its sectors have 4096 bytes"),
        ({"size": 22 * MIB}, [], " is too small: it has 23 MB (23068672 bytes)"),
    ],
)
def test_a_disk_that_will_not_do_is_left_alone(
    make_card: MakeCard, image: Path, run_flash: Run, make: dict[str, int], options: list[str], message: str
) -> None:
    card = make_card(**make)
    done = run_flash(image, card.path, *options)
    assert done.status == 1
    assert f"error: {card.path}{message}" in done.stderr
    assert card.at(0, CARD).strip(STALE) == b""


def test_what_is_no_image_is_not_written(card: Card, image: Path, run_flash: Run) -> None:
    packed = lzma.compress(image.read_bytes(), preset=0)
    cases = {
        bytes(8 * MIB): "no disk image: it has no partition table",
        image.read_bytes()[: 20 * MIB]: "cut short: its partitions end at 22020096 bytes, and it at 20971520",
        packed[: len(packed) // 2]: "it is damaged or cut short",
    }
    for data, message in cases.items():
        image.write_bytes(data)
        done = run_flash(image, card.path)
        assert done.status == 1
        assert f"error: {image}: {message}\nhint: " in done.stderr
    assert card.at(0, CARD).strip(STALE) == b""


def test_an_image_that_its_bmap_does_not_know_is_not_written(card: Card, image: Path, run_flash: Run) -> None:
    xml = (
        f'<bmap version="2.0"><ImageSize>{image.stat().st_size}</ImageSize><BlockSize>4096</BlockSize>'
        f"<ChecksumType>sha256</ChecksumType><BmapFileChecksum>{'0' * 64}</BmapFileChecksum><BlockMap>"
        f'<Range chksum="{"1" * 64}">0-99</Range></BlockMap></bmap>'
    )
    bmap = image.with_suffix(".img.bmap")
    bmap.write_text(xml.replace("0" * 64, hashlib.sha256(xml.encode()).hexdigest()))
    done = run_flash(image, card.path)
    assert done.status == 1
    assert f"error: {bmap}: the image beside it is another one, or damaged: bytes 0 to 409600" in done.stderr
    assert card.at(0, CARD).strip(STALE) == b""


@pytest.mark.parametrize(
    ("phase", "after", "broken_from", "message"),
    [
        ("checking the image", 0, 12 * MIB, "Input/output error when writing at offset 12582912"),
        ("checking the image", 0, 16 * MIB, "Input/output error when writing at offset 16777216"),  # zeros
        ("checking the image", 0, 0, "Input/output error when writing at offset 0"),
        ("writing", 7 * MIB, 0, "Input/output error when writing at offset 8388608"),
        ("reading back", 0, 16 * MIB, "Input/output error when reading back at offset 16777216"),
        ("reading back", 7 * MIB, 0, "Input/output error when reading back at offset 8388608"),
        ("reading back", 21 * MIB + 100, 0, "Input/output error when writing at offset 0"),
    ],
)
def test_a_disk_that_fails_or_is_pulled_out(
    card: Card, image: Path, run_flash: Run, phase: str, after: int, broken_from: int, message: str
) -> None:
    done = run_flash(image, card.path, hook=Hook(phase, after, lambda: card.break_from(broken_from)))
    assert done.status == 1
    half = f"{card.path} holds half an image now: flash it again before you use it"
    assert done.stderr == (
        f"error: {card.path}: {message}\n"
        f"hint:  {half}; was it pulled out? If not, it is worn out: take another\n"
    )
    assert card.at(0, MIB).strip(b"\0") in (b"", STALE * MIB)


def test_a_disk_that_does_not_flush(
    card: Card, image: Path, run_flash: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(os, "fsync", fail)
    done = run_flash(image, card.path)
    assert done.status == 1
    assert f"error: {card.path}: No such device when writing up to offset {22 * MIB + 100}\n" in done.stderr
    assert card.at(0, MIB) == bytes(MIB)


def test_the_partition_table_is_read_back_too(
    card: Card, image: Path, run_flash: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: card.damage(0))
    done = run_flash(image, card.path)
    assert done.status == 1
    assert "it does not hold what was written: the 1048576 bytes at offset 0 differ" in done.stderr


@pytest.mark.parametrize(
    ("at", "named"), [(9 * MIB, 8 * MIB), (17 * MIB, 16 * MIB), (22 * MIB + 99, 20 * MIB)]
)
def test_a_disk_that_does_not_keep_what_is_written(
    card: Card, image: Path, run_flash: Run, at: int, named: int
) -> None:
    done = run_flash(image, card.path, hook=Hook("reading back", 0, lambda: card.damage(at)))
    assert done.status == 1
    assert re.search(
        rf"it does not hold what was written: the \d+ bytes at offset {named} differ", done.stderr
    )
    assert f"{card.path} holds half an image now" in done.stderr
    assert card.at(0, MIB) == bytes(MIB)


@pytest.mark.parametrize(
    ("phase", "after"), [("writing", 0), ("writing", 11 * MIB), ("reading back", 11 * MIB)]
)
def test_control_c_in_the_middle(card: Card, image: Path, run_flash: Run, phase: str, after: int) -> None:
    done = run_flash(image, card.path, hook=Hook(phase, after, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert done.status == 130
    assert done.stderr == (
        f"ztgate: stopped; {card.path} holds half an image now: flash it again before you use it\n"
    )
    assert card.at(0, MIB) == bytes(MIB)


def test_control_c_before_anything_is_written(card: Card, image: Path, run_flash: Run) -> None:
    hook = Hook("checking the image", 0, lambda: os.kill(os.getpid(), signal.SIGINT))
    done = run_flash(image, card.path, hook=hook)
    assert (done.status, done.stderr) == (130, "ztgate: stopped; nothing half-written is left\n")
    assert card.at(0, CARD).strip(STALE) == b""


def test_an_image_that_changes_meanwhile(card: Card, image: Path, run_flash: Run) -> None:
    def change() -> None:
        with image.open("r+b") as f:
            f.seek(9 * MIB)
            f.write(b"something else")

    done = run_flash(image, card.path, hook=Hook("writing", 0, change))
    assert done.status == 1
    assert f"error: {image}: it has changed since it was checked\n" in done.stderr
    assert card.at(0, MIB) == bytes(MIB)


@pytest.fixture
def flashed(make_card: MakeCard, tmp_path: Path, run_flash: Run) -> Iterator[Card]:
    """A card with a ZTGATE partition; its node may be changed."""
    card = make_card(40 * MIB)
    mode = stat.S_IMODE(Path(card.path).stat().st_mode)
    assert run_flash(make_image(tmp_path / "x.img"), card.path).status == 0
    yield card
    Path(card.path).chmod(mode)


def configured(card: Card, config: Path, text: str) -> int:
    config.write_text(text)
    return build.main(["configure", card.path, "--config", str(config)])


def test_a_flashed_disk_is_configured(flashed: Card, tmp_path: Path) -> None:
    Path(flashed.path).chmod(0o660)
    assert configured(flashed, tmp_path / "gateway.yaml", VALID) == 0
    assert TOKEN.encode() in flashed.at(0, 40 * MIB)
    assert configured(flashed, tmp_path / "gateway.yaml", VALID.replace(TOKEN, "another-token-0001")) == 0
    assert TOKEN.encode() not in flashed.at(0, 40 * MIB)
    drive = f"{flashed.path}@@{OFFSET}"
    assert b"another-token-0001" in tool("mtype", "-i", drive, "::gateway.yaml")
    assert tool("mdir", "-b", "-i", drive, "::").split() == [b"::/gateway.yaml"]
    assert stat.S_IMODE(Path(flashed.path).stat().st_mode) == 0o660


def test_a_mounted_disk_is_not_configured(
    card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as undo:
        mounted(card.path, tmp_path / "mnt", undo)
        before = card.at(0, CARD)
        assert configured(card, tmp_path / "gateway.yaml", VALID) == 1
        assert card.at(0, CARD) == before
    assert (
        f"error: {card.path}: it is mounted on {tmp_path}/mnt\nhint:  sudo umount" in capsys.readouterr().err
    )
