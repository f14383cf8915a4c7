"""Images of every kind are read as what is in them, and a bmap file beside one is heeded."""

import gzip
import hashlib
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import blockmap
from builder.blockmap import Range
from builder.errors import BuildError
from builder.run import run

MIB = 1 << 20
# What `bmaptool create` of bmap-tools 3.6 (Debian 12) makes of CONTENT as a sparse file, letter by letter.
BMAPTOOL = """\
<?xml version="1.0" ?>
<!-- This file contains the block map for an image file, which is basically
     a list of useful (mapped) block numbers in the image file. In other words,
     it lists only those blocks which contain data (boot sector, partition
     table, file-system metadata, files, directories, extents, etc). These
     blocks have to be copied to the target device. The other blocks do not
     contain any useful data and do not have to be copied to the target
     device.

     The block map an optimization which allows to copy or flash the image to
     the image quicker than copying of flashing the entire image. This is
     because with bmap less data is copied: <MappedBlocksCount> blocks instead
     of <BlocksCount> blocks.

     Besides the machine-readable data, this file contains useful commentaries
     which contain human-readable information like image size, percentage of
     mapped data, etc.

     The 'version' attribute is the block map file format version in the
     'major.minor' format. The version major number is increased whenever an
     incompatible block map format change is made. The minor number changes
     in case of minor backward-compatible changes. -->

<bmap version="2.0">
    <!-- Image size in bytes: 10.0 MiB -->
    <ImageSize> 10485764 </ImageSize>

    <!-- Size of a block in bytes -->
    <BlockSize> 4096 </BlockSize>

    <!-- Count of blocks in the image file -->
    <BlocksCount> 2561 </BlocksCount>

    <!-- Count of mapped blocks: 1.0 MiB or 10.1%     -->
    <MappedBlocksCount> 258  </MappedBlocksCount>

    <!-- Type of checksum used in this file -->
    <ChecksumType> sha256 </ChecksumType>

    <!-- The checksum of this bmap file. When it is calculated, the value of
         the checksum has be zero (all ASCII "0" symbols).  -->
    <BmapFileChecksum> 7b32e991fb6cc498b00afbbd068079739b664325428f342e00c270efe2fb0f6f </BmapFileChecksum>

    <!-- The block map which consists of elements which may either be a
         range of blocks or a single block. The 'chksum' attribute
         (if present) is the checksum of this blocks range. -->
    <BlockMap>
        <Range chksum="b15056c9a8db77ab5708d19b7f330fe13d88eeae3d0ab271081d3438c0f46264"> 0 </Range>
        <Range chksum="fbbab289f7f94b25736c58be46a994c441fd02552cc6022352e3d86d2fab7c83"> 1792-2047 </Range>
        <Range chksum="0c62f876ef1dea830de9f32c2f4b46dd6d74d50d15896e09ef5a2fcd4ac7e1d7"> 2560 </Range>
    </BlockMap>
</bmap>
"""
CONTENT = (
    b"hello".ljust(7 * MIB, b"\0") + (bytes(range(256)) * 4096).ljust(3 * MIB, b"\0") + b"tail"
)  # fmt: skip


class Quiet:
    """A Watch that counts."""

    def __init__(self) -> None:
        self.count = 0

    def begin(self, what: str, total: int | None) -> None:
        self.count = 0

    def advance(self, count: int) -> None:
        self.count += count


def zstd(data: bytes, path: Path) -> bytes:
    """Packed by the program; no Python that we support can."""
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    path.with_suffix(".raw").write_bytes(data)
    run(["zstd", "-q", "-f", path.with_suffix(".raw"), "-o", path])
    return path.read_bytes()


Pack = Callable[[bytes, Path], bytes]
PACKERS: dict[str, Pack] = {
    "x.img": lambda data, _: data,
    "x.img.gz": lambda data, _: gzip.compress(data),
    "x.img.xz": lambda data, _: lzma.compress(data),
    "x.img.zst": zstd,
}
packed = pytest.mark.parametrize("name", PACKERS)


def put(path: Path, data: bytes = CONTENT) -> Path:
    path.write_bytes(PACKERS[path.name](data, path))
    return path


@packed
def test_what_is_packed_is_read_as_what_it_was(tmp_path: Path, name: str) -> None:
    watch = Quiet()
    found = blockmap.survey(put(tmp_path / name), watch)
    assert found.size == watch.count == len(CONTENT)
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert found.head == CONTENT[:MIB]
    assert [(b.offset // MIB, b.size, b.zeros) for b in found.blocks] == [
        (0, MIB, False),
        (1, 3 * MIB, True),
        (4, 4 * MIB, False),
        (8, 2 * MIB + 4, False),
    ]
    for block in found.blocks:
        assert block.sha256 == hashlib.sha256(CONTENT[block.offset : block.offset + block.size]).digest()


@packed
def test_a_packed_image_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name).rename(tmp_path / "other")
    assert blockmap.survey(path, Quiet()).size == len(CONTENT)


def test_a_hole_is_zeros(tmp_path: Path) -> None:
    with (tmp_path / "x.img").open("wb") as f:
        f.write(b"x" * MIB)
        f.truncate(8 * MIB)
    found = blockmap.survey(tmp_path / "x.img", Quiet())
    assert [block.zeros for block in found.blocks] == [False, True, True]


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    found = blockmap.survey(put(tmp_path / "x.img", b""), Quiet())
    assert (found.size, found.head, found.blocks) == (0, b"", ())


@pytest.mark.parametrize("name", [name for name in PACKERS if name != "x.img"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file(tmp_path: Path, name: str, damage: str) -> None:
    path = put(tmp_path / name)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 0x40
    path.write_bytes(bytes(data) if damage == "flipped" else data[:middle])
    with pytest.raises(BuildError, match="it is damaged or cut short") as e:
        blockmap.survey(path, Quiet())
    assert e.value.message.startswith(str(path))
    assert e.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, message in {tmp_path / "no": "No such file or directory", tmp_path: "Is a directory"}.items():
        with pytest.raises(BuildError) as e:
            blockmap.survey(path, Quiet())
        assert e.value.message == f"{path}: {message}"


def test_without_zstd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.img").write_bytes(blockmap.ZSTD + bytes(100))
    monkeypatch.setattr(blockmap, "which", lambda _: None)
    with pytest.raises(BuildError, match="zstd is not installed") as e:
        blockmap.survey(tmp_path / "x.img", Quiet())
    assert e.value.hint == "sudo apt-get install zstd"


def bmap(size: int, *ranges: str, **other: str) -> str:
    """A bmap file with its own checksum; a range is `3-5` or `3-5 checksum`."""
    lines = [f'<Range chksum="{r.partition(" ")[2]}"> {r.partition(" ")[0]} </Range>' for r in ranges]
    fields = {"ImageSize": f"{size}", "BlockSize": "4096", "ChecksumType": "sha256", **other}
    text = f'<bmap version="{fields.pop("version", "2.0")}">'
    text += "".join(f"<{name}> {value} </{name}>" for name, value in fields.items())
    text += f"<BmapFileChecksum> {'0' * 64} </BmapFileChecksum><BlockMap>{''.join(lines)}</BlockMap></bmap>"
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@packed
def test_bmaptools_own_file(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name)
    (tmp_path / "x.img.bmap").write_text(BMAPTOOL)
    assert blockmap.survey(path, Quiet()).size == len(CONTENT)
    found = blockmap.bmap_beside(path)
    assert found is not None
    assert [(r.start, r.end) for r in found.ranges] == [
        (0, 4096),
        (7 * MIB, 8 * MIB),
        (10 * MIB, 10 * MIB + 4),
    ]


@pytest.mark.parametrize("at", [0, 4095, 7 * MIB, 8 * MIB - 1, 10 * MIB + 3])
def test_what_a_bmap_lists_otherwise(tmp_path: Path, at: int) -> None:
    data = bytearray(CONTENT)
    data[at] ^= 1
    path = put(tmp_path / "x.img", bytes(data))
    (tmp_path / "x.img.bmap").write_text(BMAPTOOL)
    with pytest.raises(
        BuildError, match=r"x\.img\.bmap: the image beside it is another one, or damaged"
    ) as e:
        blockmap.survey(path, Quiet())
    assert "delete the .bmap" in e.value.hint


def test_an_image_of_another_size_than_its_bmap(tmp_path: Path) -> None:
    for size in (len(CONTENT) - 1, len(CONTENT) + 1):
        path = put(tmp_path / "x.img", CONTENT)
        (tmp_path / "x.img.bmap").write_text(bmap(size))
        with pytest.raises(BuildError, match=f"its {len(CONTENT)} bytes are not as listed"):
            blockmap.survey(path, Quiet())


def test_ranges_across_blocks_and_without_checksums(tmp_path: Path) -> None:
    data = bytes(range(1, 256)) * (12 * MIB // 255)
    path = put(tmp_path / "x.img", data)
    good = f"1-2047 {digest(data[4096 : 2048 * 4096])}"
    (tmp_path / "x.img.bmap").write_text(bmap(len(data), "0", good, "2048"))
    blockmap.survey(path, Quiet())
    (tmp_path / "x.img.bmap").write_text(bmap(len(data), "0", f"1-2047 {digest(b'')}"))
    with pytest.raises(BuildError, match="bytes 4096 to 8388608 are not as listed"):
        blockmap.survey(path, Quiet())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no XML",
        "<bmap/>",
        "\udcff",
        bmap(8192, "0", version="1.4"),
        bmap(8192, "0", version="3.0"),
        bmap(8192, "0", ChecksumType="sha1"),
        bmap(8192, "0", BlockSize="many"),
        bmap(8192, "one"),
        bmap(8192, "1-0"),
        bmap(8192, "7"),
        bmap(8192, "1", "0"),
        bmap(8192, "0-1", "1"),
        bmap(8192, "0").replace("8192", "8193"),
    ],
)
def test_a_bmap_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.bmap").write_text(text, errors="surrogateescape")
    with pytest.raises(BuildError, match=r"x\.bmap: no bmap file of version 2, or damaged") as e:
        blockmap.parse_bmap(tmp_path / "x.bmap")
    assert "delete the .bmap" in e.value.hint


@pytest.mark.parametrize(
    ("image", "beside", "found"),
    [
        ("x.img", "x.img.bmap", True),
        ("x.img.xz", "x.img.bmap", True),
        ("x.img.xz", "x.img.xz.bmap", True),
        ("x.img", "x.bmap", False),
        ("x.img", "y.img.bmap", False),
    ],
)
def test_where_a_bmap_is_looked_for(tmp_path: Path, image: str, beside: str, found: bool) -> None:
    (tmp_path / beside).write_text(bmap(4096, f"0 {digest(b'')}"))
    bmap_found = blockmap.bmap_beside(tmp_path / image)
    assert bool(bmap_found) is found
    if bmap_found:
        assert bmap_found.ranges == (Range(0, 4096, digest(b"")),)
