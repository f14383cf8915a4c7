"""The same inputs give the same bytes: other places, settings, orders, and no network.

Three builds of each image at every run of the tests: the one that all tests use, and two under other
conditions. Of these the VPS's first begins with nothing but the packages, which takes a minute; the others
begin with the base, as the Pi's takes minutes. `make soak` builds both ten times from the packages. What
needs a machine of its own was tried by hand, see docs/design.md.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Disk

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("build.py", "builder", "images", "overlays", "firstboot", "requirements.txt", "requirements-dev.txt")
BEFORE = ("tools", "twins", "base", "zerotier")  # no overlay touches these
# Whatever lists a directory gets it in another order each time.
SHUFFLE = """\
import os, random
listdir, scandir = os.listdir, os.scandir

class Shuffled:
    def __init__(self, found):
        self.found = iter(found)
    __iter__ = __enter__ = lambda self: self
    __next__ = lambda self: next(self.found)
    __exit__ = lambda self, *_: None
    close = lambda self: None

def shuffled(call, *words):
    found = list(call(*words))
    random.shuffle(found)
    return found

os.listdir = lambda *words: shuffled(listdir, *words)
os.scandir = lambda *words: Shuffled(shuffled(scandir, *words))
"""


@dataclass(frozen=True)
class Condition:
    """A place for the repository, and what the machine is like."""

    place: str
    umask: int
    env: dict[str, str]
    cores: int = 1


CONDITIONS = (
    Condition("another place", 0o077, {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7"}),
    Condition("ä", 0o002, {"TZ": "America/Lima", "LANG": "tr_TR.UTF-8", "HOME": "/nonexistent"}, cores=64),
)


def build(disk: Disk, condition: Condition, scratch: Path, kept: tuple[str, ...]) -> dict[str, Any]:
    """From the packages of the image's manifest, and finished stages that are kept; nothing else is there."""
    manifest = json.loads(disk.path.with_name(f"{disk.name}.manifest.json").read_text())
    repository, cache = scratch / condition.place, scratch / "cache"
    copy_repository(repository)
    (repository / "images" / f"{disk.name}.lock").write_text(json.dumps(manifest["lock"]))
    link_packages(manifest["lock"], cache)
    for stage in kept:
        if stage in manifest["stages"]:
            place = Path(stage) / manifest["stages"][stage]
            shutil.copytree(ROOT / ".cache" / place, cache / place, symlinks=True, copy_function=os.link)
    (scratch / "sitecustomize.py").write_text(SHUFFLE)
    words = ["./build.py", "build", disk.name, "--json", "--cache", str(cache), "--out", str(scratch / "out")]
    cores = sorted(os.sched_getaffinity(0))[: condition.cores]
    done = subprocess.run(
        [*without_network(), "taskset", "-c", ",".join(map(str, cores)), sys.executable, *words],
        cwd=repository,
        env={**os.environ, **condition.env, "PYTHONPATH": str(scratch)},
        umask=condition.umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def copy_repository(target: Path) -> None:
    """With other file times; without locks."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=shutil.ignore_patterns("*.lock"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
    for path in target.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    (target / ".venv").symlink_to(ROOT / ".venv")


def link_packages(lock: dict[str, Any], cache: Path) -> list[str]:
    """The lock's packages and no others, and their checksums."""
    sums = {line.split()[3] for lines in lock["packages"].values() for line in lines}
    sums.add(lock["zerotier"]["sha256"])
    (cache / "packages").mkdir(parents=True)
    for sha256 in sums:
        os.link(ROOT / ".cache/packages" / f"{sha256}.deb", cache / "packages" / f"{sha256}.deb")
    return sorted(sums)


def without_network() -> list[str]:
    """A prefix: an empty network namespace, and as root another host name."""
    if os.geteuid() != 0:
        return ["unshare", "--map-auto", "--map-root-user", "--net", "--"]
    return ["unshare", "--net", "--uts", "sh", "-c", 'hostname elsewhere.invalid; exec "$@"', "sh"]


def test_the_same_bytes_without_network_from_a_lock(
    disk: Disk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    reference = json.loads(disk.path.with_name(f"{disk.name}.manifest.json").read_text())
    for number, condition in enumerate(CONDITIONS):
        from_nothing = disk.name == "vps-amd64" and number == 0
        scratch = tmp_path_factory.mktemp("build")
        answer = build(disk, condition, scratch, () if from_nothing else BEFORE)
        assert answer["ok"], answer
        assert answer["packages"] == f"images/{disk.name}.lock"
        ran = {stage["name"] for stage in answer["stages"] if stage["action"] == "ran"}
        assert ran == set(reference["stages"]) - (set() if from_nothing else set(BEFORE))
        assert answer["sha256"] == reference["sha256"]
        shutil.rmtree(scratch)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(10))
def test_ten_times_the_same_bytes(disk: Disk, tmp_path: Path, number: int) -> None:
    reference = json.loads(disk.path.with_name(f"{disk.name}.manifest.json").read_text())
    answer = build(disk, CONDITIONS[number % len(CONDITIONS)], tmp_path, ())
    assert answer["ok"], answer
    assert answer["sha256"] == reference["sha256"]
    shutil.rmtree(tmp_path)


def test_what_a_locked_build_lacks_is_said_before_anything_begins(disk: Disk, tmp_path: Path) -> None:
    manifest = json.loads(disk.path.with_name(f"{disk.name}.manifest.json").read_text())
    repository, cache = tmp_path / "repository", tmp_path / "cache"
    copy_repository(repository)
    (repository / "images" / f"{disk.name}.lock").write_text(json.dumps(manifest["lock"]))
    link_packages(manifest["lock"], cache)
    (line,) = (line for line in manifest["lock"]["packages"]["base"] if line.startswith("nano "))
    name, architecture, version, sha256, _ = line.split()
    (cache / "packages" / f"{sha256}.deb").unlink()
    out = str(tmp_path / "out")
    words = [sys.executable, "./build.py", "build", disk.name, "--cache", str(cache), "--out", out]
    done = subprocess.run(
        [*without_network(), *words], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        f"1 package is not in the cache and cannot be had: {name} {version} ({architecture})" in done.stderr
    )
    assert "--mirror URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in cache.iterdir() if p.name not in ("packages", "lock", "download")] == []
    assert not list((tmp_path / "out").glob("*"))
