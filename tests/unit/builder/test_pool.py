"""The cache of packages: filled from where they are, in words what cannot be had, a repository for apt."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from builder import opened
from builder.errors import BuildError
from builder.inputs import file_digest
from builder.lock import Pin
from builder.pool import AT_ONCE, KEPT, Pool

from .conftest import debs, make_deb, make_tree, pin

CONTROL = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror in a directory, with one package."""
    content = make_deb(tmp_path)
    target = tmp_path / "mirror" / pin(content).path
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    return tmp_path / "mirror"


def the_pin(mirror: Path) -> Pin:
    return pin(next(mirror.rglob("*.deb")).read_bytes())


def test_what_is_missing_is_fetched_and_then_here(tmp_path: Path, mirror: Path) -> None:
    asked: list[str] = []

    def places() -> list[str]:
        asked.append("")
        return ["copy:///nowhere", f"file://{mirror}/"]

    pool = Pool(tmp_path / "pool", places=places)
    pool.provide([the_pin(mirror)])
    pool.provide([the_pin(mirror)])
    assert len(asked) == 1
    kept = pool.checked(the_pin(mirror).sha256)
    assert kept is not None
    assert kept.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in pool.root.iterdir()] == [kept.name]


def test_a_known_address_is_enough(tmp_path: Path, mirror: Path) -> None:
    one = the_pin(mirror)
    Pool(tmp_path / "pool", urls={one.sha256: f"file://{mirror}/{one.path}"}).provide([one])
    assert Pool(tmp_path / "pool").missing([one]) == []


def test_what_cannot_be_had_is_named_with_the_ways_out(tmp_path: Path, mirror: Path) -> None:
    gone = Pin("gone", "amd64", "1.2-3", "ab" * 32, "pool/gone.deb")
    pool = Pool(tmp_path / "pool", places=lambda: [f"file://{mirror}"])
    with pytest.raises(BuildError) as e:
        pool.provide([the_pin(mirror), gone])
    assert e.value.message.startswith("1 package is not in the cache and cannot be had: gone 1.2-3 (amd64) (")
    assert "--mirror" in e.value.hint
    assert "lock" in e.value.hint
    assert pool.missing([the_pin(mirror)]) == []  # what there was is kept


def test_a_silent_place_is_given_up_for_all(tmp_path: Path, pauses: list[float]) -> None:
    pins = [Pin(f"p{n}", "all", "1", f"{n:064x}", f"pool/p{n}.deb") for n in range(40)]
    with pytest.raises(BuildError) as e:
        Pool(tmp_path / "pool", places=lambda: ["http://127.0.0.1:9"]).provide(pins)
    assert "40 packages are not in the cache and cannot be had: p0 1 (all), " in e.value.message
    assert "and 28 more" in e.value.message
    assert "connection refused" in e.value.message
    assert sum(pauses) <= AT_ONCE * 7


def test_other_content_is_refused(tmp_path: Path, mirror: Path) -> None:
    one = the_pin(mirror)
    (mirror / one.path).write_bytes(b"other")
    pool = Pool(tmp_path / "pool", places=lambda: [f"file://{mirror}"])
    with pytest.raises(BuildError, match="instead of the locked"):
        pool.provide([one])
    assert pool.missing([one]) == [one]


def test_a_repository_has_these_packages_and_no_others(tmp_path: Path) -> None:
    made = debs(tmp_path)
    repository = made.repository("trixie", tmp_path / "r")
    index, about = ((repository / name).read_text() for name in ("Packages", "Release"))
    deb = f"{made.pins[0].sha256}.deb"
    assert {path.name for path in repository.iterdir()} == {"Packages", "Release", deb}
    assert {path.stat().st_mode & 0o777 for path in repository.iterdir()} == {0o644}
    assert f"Filename: ./{deb}\n" in index
    assert f"SHA256: {file_digest(repository / deb)}\n" in index
    assert "Package: a\n" in index
    assert about.startswith("Suite: trixie\nCodename: trixie\n")


def said(deb: Path) -> list[bytes]:
    """What dpkg-deb finds in a package, the compression aside."""
    asked = (("--field",), ("--contents",), ("--ctrl-tarfile",), ("--fsys-tarfile",))
    return [subprocess.check_output(["dpkg-deb", *words, deb]) for words in asked]


@pytest.mark.parametrize("compression", ["xz", "gzip", "none", "zstd"])
def test_a_package_is_unpacked_once_and_stays_the_same(tmp_path: Path, compression: str) -> None:
    tree = make_tree(tmp_path / "tree", {"usr/x": "odd" * 1001, "DEBIAN/control": CONTROL})
    deb, plain = tmp_path / "x.deb", tmp_path / "plain.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", tree, deb], check=True)
    opened.write(deb, plain)
    assert said(plain) == said(deb)
    assert (b"odd" * 1001 in plain.read_bytes()) == (compression != "zstd")


def test_what_was_unpacked_is_made_again_if_it_is_not_what_it_was(tmp_path: Path) -> None:
    made = debs(tmp_path)
    first = made.pool.opened(made.pins[0])
    inode = first.path.stat().st_ino
    assert made.pool.opened(made.pins[0]) == first
    assert first.path.stat().st_ino == inode
    first.path.write_bytes(b"damaged")
    assert made.pool.opened(made.pins[0]) == first
    assert file_digest(first.path) == first.sha256
    assert not [path for path in made.pool.root.iterdir() if path.name.startswith(".tmp")]
    other = made.pool.root / f"{'0' * 64}.json"
    other.write_text("half")
    os.utime(other, (0, 0))
    made.pool.prune()
    assert not other.exists()
    assert first.path.exists()


def test_a_damaged_package_is_noticed_and_fetched_anew(tmp_path: Path) -> None:
    made = debs(tmp_path)
    path = made.pool.path(made.pins[0].sha256)
    path.write_bytes(b"damaged")
    with pytest.raises(BuildError, match="was damaged"):
        made.repository("trixie", tmp_path / "r")
    assert made.pool.missing(made.pins) == list(made.pins)


def test_what_no_build_has_used_for_long_goes(tmp_path: Path) -> None:
    made = debs(tmp_path)
    made.pool.prune()
    assert made.pool.missing(made.pins) == []
    old = time.time() - (KEPT + 1) * 86400
    os.utime(made.pool.path(made.pins[0].sha256), (old, old))
    made.pool.prune()
    assert made.pool.missing(made.pins) == list(made.pins)
