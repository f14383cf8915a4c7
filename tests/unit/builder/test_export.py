"""Which formats are made, and what stays in the directory."""

from pathlib import Path

import pytest

from builder import export, targets
from builder.errors import BuildError
from builder.signature import SUMS

# asked for, the place's, what the definition says, what is made
CHOSEN = [
    ([], "", (), ("raw.zst",)),
    ([], "", ("raw.xz", "qcow2"), ("raw.xz", "qcow2")),
    (["vhd", "vhd", "raw"], "", ("qcow2",), ("vhd", "raw")),
    ([], "linode", ("qcow2",), ("raw.gz",)),
    (["raw.gz"], "linode", (), ("raw.gz",)),
]


@pytest.mark.parametrize(("asked", "place", "defined", "made"), CHOSEN)
def test_formats(asked: list[str], place: str, defined: tuple[str, ...], made: tuple[str, ...]) -> None:
    target = targets.load(place) if place else None
    assert export.chosen(asked, target, defined) == made


def test_a_place_takes_one_format() -> None:
    with pytest.raises(BuildError, match=r"--format: Linode, now Akamai .* takes raw\.gz"):
        export.chosen(["qcow2"], targets.load("linode"), ())


def test_what_an_earlier_export_left_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    for name in ("x.vhd", "x.qcow2", f"{SUMS}.minisig", "mine.txt"):
        (out / name).write_text("old")
    (out / SUMS).write_text("0  x.vhd\n0  x.qcow2\n0  ../scratch/x.qcow2\n")
    (scratch / "x.qcow2").write_text("new")
    (scratch / SUMS).write_text("0  x.qcow2\n")
    export._publish(scratch, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "mine.txt": "old",
        "x.qcow2": "new",
        SUMS: "0  x.qcow2\n",
    }
