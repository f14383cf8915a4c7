"""The engine, with stages of our own that only write a word."""

import errno
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder import engine, files, foreign, pipeline, plan
from builder.errors import BuildError
from builder.inputs import Inputs
from builder.stages import Work
from builder.store import Store


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def waiting(self, text: str) -> None:
        self.events.append(f"waiting {text}")

    def note(self, text: str) -> None:
        self.events.append(f"note {text}")

    def cached(self, stage: str, age_days: int) -> None:
        self.events.append(f"cached {stage}")

    def aside(self, stage: str, reason: str) -> None:
        self.events.append(f"aside {stage}: {reason}")

    def started(self, stage: str, reason: str, expected: float | None) -> None:
        self.events.append(f"ran {stage}: {reason}")

    def line(self, text: str) -> None:
        self.events.append(text)

    def finished(self, stage: str, seconds: float) -> None:
        pass


@dataclass(frozen=True)
class Fake:
    """Writes its word after the words of the stages that it needs."""

    name: str
    word: str
    needs: tuple[str, ...] = ()
    during: Callable[[], None] = lambda: None
    check: Callable[[], None] = field(default=lambda: None)

    def inputs(self) -> Inputs:
        return {"word": self.word}

    def verify(self) -> None:
        self.check()

    def run(self, work: Work) -> None:
        before = "".join((work.artifacts[name] / "words").read_text() for name in self.needs)
        (work.out / "words").write_text(before + self.word)
        self.during()


def chain(base: str = "a", overlay: str = "b") -> list[Fake]:
    return [
        Fake("tools", "t"),
        Fake("base", base),
        Fake("rootfs", overlay, ("base",)),
        Fake("disk", "d", ("tools", "rootfs")),
    ]


def resume(stages: list[Fake], cache: Path) -> tuple[str, list[str]]:
    seen = Seen()
    _, artifacts = engine.resume(list(stages), Store(cache), seen)
    return (artifacts["disk"] / "words").read_text(), seen.events


def test_everything_runs_once_and_is_then_cached(tmp_path: Path) -> None:
    words, events = resume(chain(), tmp_path)
    assert words == "tabd"
    assert events == [f"ran {name}: nothing in the cache" for name in ("tools", "base", "rootfs", "disk")]
    assert resume(chain(), tmp_path) == (words, [f"cached {n}" for n in ("tools", "base", "rootfs", "disk")])


def test_a_changed_overlay_does_not_bootstrap_again(tmp_path: Path) -> None:
    resume(chain(), tmp_path)
    words, events = resume(chain(overlay="B"), tmp_path)
    assert words == "taBd"
    assert events == [
        "cached tools",
        "cached base",
        "ran rootfs: word changed",
        "ran disk: stage rootfs changed",
    ]
    _, events = resume(chain(), tmp_path)  # and back: the first ones are still there
    assert {event.split()[0] for event in events} == {"cached"}


def test_a_stage_that_others_can_do_without_is_left_out_and_their_ids_stay(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Either(Fake):
        def run(self, work: Work) -> None:
            (work.out / "words").write_text("same")

    def refuse() -> None:
        raise BuildError("no such kernel")

    stages = [Fake("twins", "t", check=refuse), Either("base", "b", ("twins",))]
    seen, store = Seen(), Store(tmp_path)
    slow, artifacts = engine.resume(list(stages), store, seen, aside={"twins": "old kernel"})
    assert seen.events == ["aside twins: old kernel", "ran base: nothing in the cache"]
    assert set(artifacts) == {"base"}
    stages[0] = Fake("twins", "t")
    fast, _ = engine.resume(list(stages), store, seen)
    assert seen.events[2:] == ["ran twins: nothing in the cache", "cached base"]
    assert [(s.name, s.id) for s in slow] == [(s.name, s.id) for s in fast]
    engine.resume(list(stages), store, seen, aside={"twins": "old kernel"})
    assert seen.events[4:] == ["cached base"]  # nobody would have used them


@pytest.mark.parametrize(
    ("architecture", "why", "left_out"),
    [
        ("arm64", "", {}),
        ("arm64", "mount: no", {"twins": "left out, QEMU alone takes some six times as long: mount: no"}),
        ("amd64", "mount: no", {}),
    ],
)
def test_twins_are_left_out_where_the_kernel_refuses(
    monkeypatch: pytest.MonkeyPatch, architecture: str, why: str, left_out: dict[str, str]
) -> None:
    monkeypatch.setattr(foreign, "why_not_own", lambda _: why)
    assert pipeline.left_out(architecture) == left_out


def test_all_are_verified_before_the_first_one_runs(tmp_path: Path) -> None:
    def refuse() -> None:
        raise BuildError("no such tool")

    stages = [*chain()[:-1], Fake("disk", "d", ("rootfs",), check=refuse)]
    with pytest.raises(BuildError, match="no such tool"):
        resume(stages, tmp_path)
    assert not (tmp_path / "tools").exists()


def test_an_interrupted_build_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume([*chain()[:2], Fake("rootfs", "b", ("base",), during=interrupt)], tmp_path)
    assert list((tmp_path / "rootfs").iterdir()) == []
    words, events = resume(chain(), tmp_path)
    assert words == "tabd"
    assert [e for e in events if e.startswith("cached")] == ["cached tools", "cached base"]


def test_an_input_that_changes_during_an_earlier_stage_counts(tmp_path: Path) -> None:
    file = tmp_path / "overlay"
    file.write_text("old")

    @dataclass(frozen=True)
    class Reader(Fake):
        def inputs(self) -> Inputs:
            return {"file": file.read_text()}

        def run(self, work: Work) -> None:
            (work.out / "words").write_text(file.read_text())

    def edit() -> None:
        file.write_text("new")

    cache = tmp_path / "cache"
    resume([Fake("base", "a", during=edit), Reader("disk", "")], cache)
    file.write_text("old")
    words, events = resume([Fake("base", "a", during=edit), Reader("disk", "")], cache)
    assert words == "old"
    assert events == ["cached base", "ran disk: file changed"]


def published(artifact: Path, target: Path, *, secret: bool) -> Path:
    with pipeline.publishing(target, secret=secret) as made:
        made("rootfs", artifact)
        made("disk", artifact)
    return target


def test_what_is_published_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "disk.img").write_bytes(b"new")
    target = tmp_path / "out" / "x.img"
    assert published(artifact, target, secret=False).read_bytes() == b"new"
    target.write_bytes(b"old")
    with pytest.raises(BuildError), pipeline.publishing(target, secret=False) as made:
        made("disk", artifact)
        raise BuildError("the gate has found something")
    assert target.read_bytes() == b"old"

    def fail(*_: object) -> str:
        raise BuildError("cp: No space left on device")

    monkeypatch.setattr(files, "run", fail)
    with pytest.raises(BuildError):
        published(artifact, target, secret=False)
    assert target.read_bytes() == b"old"
    assert [p.name for p in target.parent.iterdir()] == ["x.img"]


@pytest.mark.parametrize(("secret", "mode"), [(False, 0o644), (True, 0o600)])
def test_an_image_with_a_secret_is_only_for_its_owner(tmp_path: Path, secret: bool, mode: int) -> None:
    (tmp_path / "disk.img").write_bytes(b"x")
    image = published(tmp_path, tmp_path / "out/x.img", secret=secret)
    assert image.stat().st_mode & 0o777 & ~0o022 == mode & ~0o022


Usage = namedtuple("Usage", "total used free")


def test_too_little_room_is_said_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 100 << 20))
    cache = tmp_path / "cache"
    with pytest.raises(BuildError) as e:
        pipeline.build("vps-amd64", plan.Options(cache=cache, out=tmp_path / "out"), Seen())
    assert f"{tmp_path}: no room: 100 MiB are free, a build needs up to 3000 MiB" in e.value.message
    assert "--cache" in e.value.hint
    assert not cache.exists()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), BuildError("tar: x: No space left on device")],
)
def test_a_disk_that_fills_up_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(plan, "make", fail)
    monkeypatch.setitem(pipeline.NEEDED, "grub", 0)
    with pytest.raises(BuildError) as e:
        pipeline.build("vps-amd64", plan.Options(cache=tmp_path / "c", out=tmp_path / "o"), Seen())
    assert "no room" in e.value.message
    assert str(tmp_path / "c") in e.value.message


def test_no_permission_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BuildError, match="no permission to write"):
        pipeline.build("vps-amd64", plan.Options(cache=tmp_path / "c"), Seen())
