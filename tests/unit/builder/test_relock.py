"""`lock`: what it makes of an old one, whom it waits for, and when the new one appears."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from builder import foreign, load, lock, locking, pipeline, plan, relock
from builder.errors import BuildError
from builder.inputs import identity
from builder.lock import Lock, Pin, Wanted
from builder.plan import Options
from builder.pool import Pool
from builder.project import ROOT
from builder.stages import tools
from builder.store import Store

from .conftest import make_deb, pin
from .test_pipeline import Seen

IMAGE = "vps-amd64"
WANTED = {"base": Wanted("trixie", ("amd64",), ("a",))}


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(cache=tmp_path / "cache", locks=tmp_path / "images")


@pytest.fixture(autouse=True)
def debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pin:
    """A mirror with one package, and a plan of it."""
    content = make_deb(tmp_path)
    (one, mirror) = (pin(content), tmp_path / "mirror")
    mirror.mkdir()
    (mirror / "a.deb").write_bytes(content)
    monkeypatch.setitem(pipeline.NEEDED, "grub", 0)

    class Planned:
        lock = Lock(IMAGE, WANTED, {"base": (one,)})
        pool = Pool(tmp_path / "cache/packages", {one.sha256: f"file://{mirror}/a.deb"})

    monkeypatch.setattr(plan, "make", lambda *_: Planned)
    return one


def renewed(options: Options) -> tuple[list[str], list[str]]:
    seen = Seen()
    _, changes = relock.relock(IMAGE, options, seen)
    return changes, seen.events


def test_what_is_new_is_said_and_then_nothing(options: Options, debian: Pin) -> None:
    assert renewed(options) == ([f"base     + {debian.short}"], [])
    assert renewed(options) == ([], [])
    assert lock.read(options.locks / f"{IMAGE}.lock", "").every == (debian,)


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "[]", '{"format": 2}', "\xff", ""])
def test_a_damaged_lock_is_made_anew(options: Options, debian: Pin, text: str) -> None:
    path = options.locks / f"{IMAGE}.lock"
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BuildError, match=rf"images/{IMAGE}\.lock") as e:
        lock.read(path, f"images/{IMAGE}.lock")
    assert f"./build.py lock {IMAGE}" in e.value.hint  # and that is what helps:
    changes, events = renewed(options)
    assert changes == [f"base     + {debian.short}"]
    assert len(events) == 1
    assert events[0].startswith(f"note images/{IMAGE}.lock")


def test_without_its_packages_there_is_no_new_lock(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed(options)
    before = (options.locks / f"{IMAGE}.lock").read_text()
    gone = Pin("gone", "amd64", "2", "ab" * 32, "pool/gone.deb")

    class Planned:
        lock = Lock(IMAGE, WANTED, {"base": (gone,)})
        pool = Pool(options.cache / "packages")

    monkeypatch.setattr(plan, "make", lambda *_: Planned)
    with pytest.raises(BuildError, match=r"1 package is not .*: gone 2 \(amd64\)"):
        renewed(options)
    assert (options.locks / f"{IMAGE}.lock").read_text() == before
    assert [path.name for path in options.locks.iterdir()] == [f"{IMAGE}.lock"]


def test_a_full_disk_is_one_clear_error(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BuildError, match=r"cache/packages/\.tmp-\w+: no room") as e:
        renewed(options)
    assert "--cache" in e.value.hint
    assert not options.locks.exists()


def test_it_waits_for_a_build_and_says_so(options: Options) -> None:
    seen, done = Seen(), threading.Event()

    class Told(Seen):
        def note(self, text: str) -> None:
            seen.note(text)
            done.set()

    with Store(options.cache).locked(lambda: None):
        thread = threading.Thread(target=lambda: relock.relock(IMAGE, options, Told()))
        thread.start()
        assert done.wait(10)
        assert seen.events == ["note waiting: another build uses the cache"]
        assert not options.locks.exists()
    thread.join(10)
    assert (options.locks / f"{IMAGE}.lock").is_file()


def test_what_is_known_of_a_stage_is_found_in_locks_of_any_image(tmp_path: Path, debian: Pin) -> None:
    """The locks that are committed before those that are remembered, and no damaged one."""
    wish = Wanted("trixie", ("amd64",), ("mtools",))
    fits = Lock("vps", {**WANTED, "tools": wish}, {"base": (debian,), "tools": (debian,)})
    other = replace(fits, wanted={**WANTED, "tools": Wanted("trixie", ("amd64",), ("fdisk",))})
    for name, made in {
        "images/vps.lock": fits,
        "locks/a.lock": replace(fits, image="a"),
        "locks/other.lock": other,
        "locks/base.lock": Lock("b", WANTED, {"base": (debian,)}),
    }.items():
        locking.write(tmp_path / name, made)
    (tmp_path / "locks/damaged.lock").write_text("{")
    found = locking.known("tools", wish, tmp_path / "images", tmp_path / "locks", tmp_path / "none")
    assert [one.image for one in found] == ["vps", "a"]


def test_a_tools_tree_that_is_there_goes_before_a_newer_lock(
    tmp_path: Path, debian: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked, whatever there is: a tree, or a lock to make it from."""
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    store, wish = Store(tmp_path / "cache"), tools.wanted(foreign.NATIVE)
    for number, version in enumerate(("1", "2")):
        kept = store.root / f"locks/{number}.lock"
        locking.write(kept, Lock("i", {"tools": wish}, {"tools": (replace(debian, version=version),)}))
        os.utime(kept, (number, number))
    newest = plan.tools_stage(store, Seen())
    assert [one.version for one in newest.debs.pins] == ["2"]
    older = replace(newest, debs=replace(newest.debs, pins=(replace(debian, version="1"),)))
    with store.making("tools", identity("tools", older.inputs()), older.inputs()):
        pass
    assert plan.tools_stage(store, Seen()).debs.pins == older.debs.pins


def test_an_image_of_other_stages_is_not_compared(options: Options, tmp_path: Path) -> None:
    image = load.load(ROOT / "images", "vps-amd64")
    given = replace(options, lock=Lock("vps-amd64", WANTED, {"base": ()}))
    with pytest.raises(BuildError, match="it has no own, tools") as e:
        plan.chosen_for(image, given, tmp_path, Seen())
    assert "go to the commit" in e.value.hint
