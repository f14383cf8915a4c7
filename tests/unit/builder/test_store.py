import os
import shutil
import threading
from pathlib import Path

import pytest

from builder import namespace
from builder.errors import BuildError
from builder.inputs import LISTED, Inputs, difference, identity, tree_inputs
from builder.store import KEPT, Store

from .conftest import make_tree


def put(store: Store, stage: str, id_: str, inputs: Inputs | None = None, age: int = 0) -> Path:
    with store.making(stage, id_, inputs or {}) as work:
        (work / "file").write_text(id_)
    path = store.root / stage / id_
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_an_artifact_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.making("base", "1", {"a": "b"}) as work:
        (work / "file").write_text("half")
        assert store.find("base", "1") is None
    found = store.find("base", "1")
    assert found is not None
    assert (found / "file").read_text() == "half"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.making("base", "1", {}) as work:
        (work / "file").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "base").iterdir()) == []


def test_leftovers_of_a_killed_build_are_swept_up(tmp_path: Path) -> None:
    make_tree(tmp_path, {"base/.tmp-1/half": "written", "disk/.tmp-2/disk.img": "half"})
    with Store(tmp_path).locked(lambda: None):
        assert [p for p in tmp_path.rglob("*") if p.name.startswith(".tmp")] == []


def test_what_only_a_namespace_can_remove_is_removed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed build of an ordinary user leaves files that are not his."""
    make_tree(tmp_path, {"base/.tmp-1/half": "written"})

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    monkeypatch.setattr(namespace, "why_not", lambda: "no namespaces here")
    with pytest.raises(BuildError, match=r"cannot be removed"), Store(tmp_path).locked(lambda: None):
        pass
    monkeypatch.setattr(namespace, "why_not", lambda: "")
    monkeypatch.setattr(namespace, "inside", lambda: ["env", "--"])
    with Store(tmp_path).locked(lambda: None):
        assert list((tmp_path / "base").iterdir()) == []


def test_a_second_build_waits_and_says_so(tmp_path: Path) -> None:
    store, waited, entered = Store(tmp_path), threading.Event(), threading.Event()

    def second() -> None:
        with store.locked(waited.set):
            entered.set()

    with store.locked(lambda: pytest.fail("nobody else is there")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(5)
        assert not entered.is_set()
    assert entered.wait(5)
    thread.join()


def test_prune_keeps_the_newest_and_what_is_in_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paths = [put(store, "disk", str(i), age=i) for i in range(KEPT + 3)]
    store.prune({paths[-1]})
    assert [p.exists() for p in paths] == [True] * KEPT + [False, False, True]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"overlays/a": "1"}, {"overlays/a": "2"}, "overlays/a changed"),
        ({"overlays/a": "1"}, {}, "overlays/a is gone"),
        ({}, {"overlays/a": "1"}, "overlays/a is new"),
        ({"packages": ("a", "b")}, {"packages": ("b", "c")}, "packages: +c -a"),
        ({"stage base": "1", "z": "1"}, {"stage base": "2", "z": "2"}, "z changed; stage base changed"),
        (
            dict.fromkeys("abcde", "1"),
            dict.fromkeys("abcde", "2"),
            "a changed; b changed; c changed; and 2 more",
        ),
    ],
)
def test_a_miss_is_explained(tmp_path: Path, old: Inputs, new: Inputs, reason: str) -> None:
    store = Store(tmp_path)
    put(store, "base", "1", old)
    assert store.missed("base", new).reason == reason
    assert difference(old, new) == reason


def test_a_long_list_is_cut() -> None:
    many = tuple(f"p{number:02}" for number in range(LISTED + 3))
    said = difference({"packages": ()}, {"packages": many})
    assert said.endswith(f"+p{LISTED - 1:02} and 3 more")


def test_the_first_miss() -> None:
    assert Store(Path("/nonexistent")).missed("base", {}).reason == "nothing in the cache"


def test_inputs_see_what_git_keeps_and_nothing_else(tmp_path: Path) -> None:
    def inputs(name: str, files: dict[str, str]) -> Inputs:
        return tree_inputs(make_tree(tmp_path / name, files), "t")

    plain = inputs("a", {"x": "1", "d/y": "-> x"})
    assert set(plain) == {"t/x", "t/d/y"}
    assert inputs("b", {"x": "1", "d/y": "-> x", "__pycache__/z.pyc": "1", ".gitkeep": ""}) == plain
    assert inputs("c", {"x": "2", "d/y": "-> x"}) != plain
    assert inputs("d", {"x": "1", "d/y": "-> d"}) != plain
    (tmp_path / "a/x").chmod(0o755)
    assert tree_inputs(tmp_path / "a", "t") != plain
    (tmp_path / "a/x").chmod(0o600)  # another umask
    assert tree_inputs(tmp_path / "a", "t") == plain


def test_the_identity_has_the_stage_and_every_input() -> None:
    ids = {
        identity("a", {"x": "1"}),
        identity("b", {"x": "1"}),
        identity("a", {"x": "2"}),
        identity("a", {"y": "1"}),
        identity("a", {"x": ("1",)}),
    }
    assert len(ids) == 5
