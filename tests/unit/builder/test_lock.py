"""Lock files: what they say, what two of them differ in, and which packages a build takes."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import lock, locking, resolve
from builder.errors import BuildError
from builder.lock import Lock, Pin, Wanted, ZerotierPin

from .conftest import FakeTool

SUM = "0123456789abcdef" * 4
OTHER = SUM[::-1]
WANTED = {
    "base": Wanted("trixie", ("amd64",), ("nano", "k/trixie-backports"), ("main", "non-free"), system=True),
    "tools": Wanted("trixie", ("amd64", "arm64"), ("mtools",)),
}


def made(name: str, version: str = "1.0-1", sha256: str = SUM, architecture: str = "amd64") -> Pin:
    return Pin(name, architecture, version, sha256, f"pool/{name}_{version}.deb")


BASE = (made("nano"), made("apt", "1:3.0~x+1"))
LOCK = Lock("vps", WANTED, {"base": BASE, "tools": (made("mtools"),)}, "", ZerotierPin("1.14", SUM, "key"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    locking.write(tmp_path / "vps.lock", LOCK)
    again = lock.read(tmp_path / "vps.lock", "images/vps.lock")
    assert again.described() == LOCK.described()
    assert again.misfit(WANTED) == ""
    lines = (tmp_path / "vps.lock").read_text().splitlines()
    assert sum("pool/" in line for line in lines) == 3  # one line a package


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2, where 1 is known"),
        ({"packages": {}}, "is damaged"),
        ({"packages": {"base": ["nano amd64 1.0"], "tools": []}}, "is damaged"),
        ({"packages": {"base": [f"../x amd64 1.0 {SUM} p"], "tools": []}}, "is damaged"),
        ({"packages": {"base": ["nano amd64 1.0 xyz p"], "tools": []}}, "is damaged"),
        ({"wanted": None}, "is damaged"),
        ({"zerotier": {"version": "1", "sha256": "../../x", "key": ""}}, "is damaged"),
    ],
)
def test_a_damaged_lock_is_one_clear_error(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "vps.lock"
    path.write_text(json.dumps({**LOCK.described(), **change}))
    with pytest.raises(BuildError, match=words) as e:
        lock.read(path, "images/vps.lock")
    assert "./build.py lock vps" in e.value.hint


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "vps.lock").write_text("<<<<<<< HEAD")
    with pytest.raises(BuildError, match=r"images/vps\.lock is damaged: no JSON"):
        lock.read(tmp_path / "vps.lock", "images/vps.lock")


def test_what_changed() -> None:
    base = (made("apt", "1:3.1"), made("vim"))
    new = replace(
        LOCK,
        pins={"base": base, "tools": (made("mtools", sha256=OTHER),)},
        mirror="http://m",
        zerotier=ZerotierPin("1.16", OTHER),
    )
    assert lock.changes(LOCK, new) == [
        "base     apt 1:3.0~x+1 -> 1:3.1 (amd64)",
        "base     - nano 1.0-1 (amd64)",
        "base     + vim 1.0-1 (amd64)",
        f"tools    mtools 1.0-1 (amd64): the same version with other content, {SUM[:16]} -> {OTHER[:16]}",
        "mirror   none -> http://m",
        f"zerotier 1.14 ({SUM[:16]}) -> 1.16 ({OTHER[:16]})",
    ]
    assert lock.changes(LOCK, LOCK) == []
    assert len(lock.changes(None, LOCK)) == 4


def choose(tmp_path: Path, wanted: dict[str, Wanted] = WANTED, fresh: bool = False) -> locking.Chosen:
    return locking.choose(
        "vps",
        wanted,
        file=None if fresh else tmp_path / "vps.lock",
        remembered=tmp_path / "locks",
        mirror="",
        waiting=lambda _: None,
    )


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A mirror that has one version of each package, and counts how often it is asked."""
    state = {"version": "1", "asked": "0"}

    def answer(wanted: dict[str, Wanted], mirror: str, scratch: Path) -> dict[str, dict[Pin, str]]:
        state["asked"] = str(int(state["asked"]) + 1)
        return {
            stage: {made(name.split("/")[0], state["version"]): f"http://m/{name}" for name in wish.packages}
            for stage, wish in wanted.items()
        }

    monkeypatch.setattr(resolve, "resolve", answer)
    return state


def versions(chosen: locking.Chosen) -> set[str]:
    return {pin.version for pin in chosen.lock.every}


def test_without_a_lock_debian_is_asked_once_and_with_fresh_again(
    tmp_path: Path, debian: dict[str, str]
) -> None:
    first = choose(tmp_path)
    assert (versions(first), first.source) == ({"1"}, "what Debian has today")
    assert first.urls == {SUM: "http://m/mtools"}
    debian["version"] = "2"
    kept = choose(tmp_path)
    assert (versions(kept), debian["asked"]) == ({"1"}, "1")
    assert "an earlier build, 0 days old" in kept.source
    assert versions(choose(tmp_path, fresh=True)) == {"2"}
    assert versions(choose(tmp_path)) == {"2"}  # and that is what is remembered


def test_a_layer_has_only_what_the_one_below_lacks(tmp_path: Path, debian: dict[str, str]) -> None:
    own = Wanted("trixie", ("amd64",), ("nano", "k", "htop"), system=True, above="base")
    pins = choose(tmp_path, {**WANTED, "own": own}).lock.pins
    assert [pin.name for pin in pins["base"]] == ["k", "nano"]
    assert [pin.name for pin in pins["own"]] == ["htop"]


def test_a_lock_goes_before_what_is_remembered_and_fresh_before_the_lock(
    tmp_path: Path, debian: dict[str, str]
) -> None:
    choose(tmp_path)
    locking.write(tmp_path / "vps.lock", LOCK)
    locked = choose(tmp_path)
    assert (locked.lock.every, locked.source) == (LOCK.every, "images/vps.lock")
    assert versions(choose(tmp_path, fresh=True)) == {"1"}
    assert lock.read(tmp_path / "vps.lock", "x").every == LOCK.every


def test_a_lock_for_something_else_is_said(tmp_path: Path, debian: dict[str, str]) -> None:
    locking.write(tmp_path / "vps.lock", LOCK)
    more = {**WANTED, "base": replace(WANTED["base"], packages=("nano", "k/trixie-backports", "vim"))}
    with pytest.raises(BuildError, match=r"base packages: \+vim") as e:
        choose(tmp_path, more)
    assert "./build.py lock vps" in e.value.hint
    assert versions(choose(tmp_path, more, fresh=True)) == {"1"}
    locking.write(tmp_path / "vps.lock", replace(LOCK, image="rpi"))
    with pytest.raises(BuildError, match=r"images/vps\.lock is for rpi"):
        choose(tmp_path)


def test_a_damaged_memory_is_no_reason_to_stop(tmp_path: Path, debian: dict[str, str]) -> None:
    choose(tmp_path)
    (kept,) = (tmp_path / "locks").iterdir()
    kept.write_text("{")
    assert choose(tmp_path).source == "what Debian has today"
    assert debian["asked"] == "2"


def test_what_is_remembered_is_for_the_same_wish_only(tmp_path: Path, debian: dict[str, str]) -> None:
    choose(tmp_path)
    os.utime(next((tmp_path / "locks").iterdir()), (time.time() - 3 * 86400,) * 2)
    assert "3 days old" in choose(tmp_path).source
    choose(tmp_path, {"base": WANTED["base"]})
    assert debian["asked"] == "2"


APT = f"""
echo ztgate-place http://one/debian/
echo ztgate-place http://one/debian/security
echo ztgate-wish
echo "'http://one/debian/pool/a/a_1%3a2%2bb_amd64.deb' a_1%3a2+b_amd64.deb 12 SHA256:{SUM}"
echo "'http://one/debian/security/pool/l_2_all.deb' l_2_all.deb 12 SHA256:{OTHER}"
"""


def test_apt_is_asked_for_addresses_and_checksums(fake_tool: FakeTool, tmp_path: Path) -> None:
    calls = fake_tool("mmdebstrap", APT)
    found = resolve.resolve({"base": WANTED["base"]}, "http://one/debian", tmp_path)
    assert found["base"] == {
        Pin(
            "a", "amd64", "1:2+b", SUM, "pool/a/a_1:2+b_amd64.deb"
        ): "http://one/debian/pool/a/a_1%3a2%2bb_amd64.deb",
        Pin("l", "all", "2", OTHER, "pool/l_2_all.deb"): "http://one/debian/security/pool/l_2_all.deb",
    }
    said = calls.read_text()
    assert "dist-upgrade apt nano k/trixie-backports" in said
    assert "trixie-backports.list" in said
    assert said.rstrip().endswith("trixie /dev/null http://one/debian")


def test_stages_that_need_the_same_lists_are_asked_about_together(
    fake_tool: FakeTool, tmp_path: Path
) -> None:
    calls = fake_tool("mmdebstrap", f"{APT}\n{APT.replace('a_1', 'b_1').replace('ztgate-place', '#')}")
    plain = replace(WANTED["tools"], packages=("b",))
    found = resolve.resolve({"one": WANTED["tools"], "two": plain}, "", tmp_path)
    assert [[pin.name for pin in pins] for pins in found.values()] == [["a", "l"], ["b", "l"]]
    assert calls.read_text().count("trixie /dev/null") == 1


def test_places_are_the_mirror_and_what_mmdebstrap_knows(fake_tool: FakeTool, tmp_path: Path) -> None:
    fake_tool(
        "mmdebstrap", "echo 'deb [signed-by=\"/k\"] http://d/debian trixie main'; echo deb http://s x y"
    )
    assert resolve.places(WANTED["base"], "", tmp_path) == ["http://d/debian", "http://s"]
    assert resolve.places(WANTED["base"], "http://m", tmp_path) == ["http://m", "http://d/debian", "http://s"]


def test_nothing_found_is_an_error(fake_tool: FakeTool, tmp_path: Path) -> None:
    fake_tool("mmdebstrap", "echo ztgate-wish")
    with pytest.raises(BuildError, match="no packages for mtools"):
        resolve.resolve({"tools": WANTED["tools"]}, "", tmp_path)
