"""The same inputs give the same bytes: another user, other places, settings, orders, and no network.

Three builds of each image at every run of the tests: the one that all tests use, and two under other
conditions. Of these only the VPS's first begins with nothing but the packages, which takes a minute; the
others begin with finished stages, see KEPT, as the Pi's base takes minutes. `make soak` builds both
images ten times from nothing but the packages. What needs a machine of its own was tried by hand, see
docs/design.md.
"""

import shutil
from pathlib import Path

import pytest

from .conftest import Disk
from .elsewhere import ID, Condition, Elsewhere, manifest_of

CONDITIONS = (
    Condition(
        "another place",
        0o077,
        {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": "/nonexistent"},
        ordinary=True,
    ),
    Condition("ä", 0o002, {"TZ": "America/Lima", "LANG": "tr_TR.UTF-8"}, cores=1),
)
BASE = ("tools", "twins", "base", "own")
# Under each condition: the finished stages that are taken from the cache. All others are made again.
KEPT = {"vps-amd64": ((), BASE), "rpi-arm64": (BASE, (*BASE, "agent", "system"))}


@pytest.mark.parametrize("number", range(len(CONDITIONS)))
def test_the_same_bytes_without_network_from_a_lock(disk: Disk, tmp_path: Path, number: int) -> None:
    again(disk, tmp_path, CONDITIONS[number], KEPT[disk.name][number])


@pytest.mark.soak
@pytest.mark.parametrize("number", range(10))
def test_ten_times_the_same_bytes(disk: Disk, tmp_path: Path, number: int) -> None:
    again(disk, tmp_path, CONDITIONS[number % len(CONDITIONS)], ())


def again(disk: Disk, scratch: Path, condition: Condition, kept: tuple[str, ...]) -> None:
    """Build, all but the stages that are kept, and compare with the image that all tests use."""
    reference, elsewhere = manifest_of(disk), Elsewhere(scratch / "x", condition)
    elsewhere.prepare(disk, kept)
    answer = elsewhere.build(disk)
    assert answer["packages"] == f"images/{disk.name}.lock"
    ran = {stage["name"] for stage in answer["stages"] if stage["action"] == "ran"}
    assert ran == {*reference["stages"], "search", "gate"} - set(kept)
    assert answer["sha256"] == reference["sha256"]
    if elsewhere.switched:
        assert (elsewhere.out / f"{disk.name}.img").stat().st_uid == ID
    print(f"{disk.name} {condition.place}: sha256 {answer['sha256']} in {answer['seconds']} s")
    shutil.rmtree(scratch)


def test_what_a_locked_build_lacks_is_said_before_anything_begins(vps: Disk, tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path)
    elsewhere.prepare(vps)
    (line,) = (line for line in manifest_of(vps)["lock"]["packages"]["base"] if line.startswith("nano "))
    name, architecture, version, sha256, _ = line.split()
    (elsewhere.cache / "packages" / f"{sha256}.deb").unlink()
    done = elsewhere.run("build", vps.name)
    assert done.returncode == 1
    assert (
        f"1 package is not in the cache and cannot be had: {name} {version} ({architecture})" in done.stderr
    )
    assert "--mirror URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in elsewhere.cache.iterdir()} <= {"packages", "lock", "locks", "download"}
    assert not list(elsewhere.out.glob("*"))
