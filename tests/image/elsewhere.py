"""The repository somewhere else: another directory, user, host name, and other settings, cores and orders.

What is made there begins with a lock's packages and the finished stages that are named, and nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .conftest import Disk

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("build.py", "builder", "images", "overlays", "firstboot", "requirements.txt", "requirements-dev.txt")
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
# An ordinary user who is there in one mount namespace only. He cannot look into root's directories, so the
# scratch directory and .venv are brought to where he can, and so is Python, should it be one of root's own.
NAME, ID = "wanderer", 4242
LINES = {
    "passwd": f"{NAME}:x:{ID}:{ID}::/nonexistent:/bin/sh",
    "group": f"{NAME}:x:{ID}:",
    "subuid": f"{NAME}:500000:65536",
    "subgid": f"{NAME}:500000:65536",
}
AWAY = Path("/mnt")
BECOME = f"""\
set -e
hostname elsewhere.invalid
scratch=$1 venv=$2 place=$3 python=$4 hidden=$5
shift 5
for file in {" ".join(LINES)}; do mount --bind "$scratch/etc/$file" "/etc/$file"; done
mount --bind "$scratch" {AWAY}
mount --bind "$venv" "{AWAY}/$place/.venv"
if [ -n "$hidden" ]; then
    mount --bind "$python" {AWAY}/python
    mount -t tmpfs -o mode=755 none "$hidden"
    (umask 022; mkdir -p "$python")
    mount --bind {AWAY}/python "$python"
fi
cd "{AWAY}/$place"
exec setpriv --reuid={ID} --regid={ID} --clear-groups "$@"
"""
# Who is no root becomes root of a namespace of his own; without one, nothing but the proxy keeps him in.
NOWHERE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@dataclass(frozen=True)
class Condition:
    """What the machine is like, and who builds: root, or an ordinary user."""

    place: str = "repository"
    umask: int = 0o022
    env: dict[str, str] = field(default_factory=dict)
    cores: int = 64
    ordinary: bool = False


@dataclass(frozen=True)
class Elsewhere:
    """A directory with all that a build needs, and no network."""

    scratch: Path
    condition: Condition = Condition()

    @property
    def repository(self) -> Path:
        return self.scratch / self.condition.place

    @property
    def cache(self) -> Path:
        return self.scratch / "cache"

    @property
    def out(self) -> Path:
        return self.scratch / "out"

    @property
    def switched(self) -> bool:
        """Whether we become somebody else."""
        return self.condition.ordinary and os.geteuid() == 0

    @property
    def seen(self) -> Path:
        """The scratch directory, as who builds sees it."""
        return AWAY if self.switched else self.scratch

    def prepare(self, disk: Disk, kept: Iterable[str] = ()) -> None:
        """The repository, and what there is of that image."""
        copy_repository(self.repository)
        (self.scratch / "sitecustomize.py").write_text(SHUFFLE)
        if self.switched:
            for name in (self.condition.place + "/.venv", "python", "etc", "out"):
                (self.scratch / name).mkdir()
            for name, line in LINES.items():
                (self.scratch / "etc" / name).write_text(f"{Path('/etc', name).read_text()}{line}\n")
            self.scratch.chmod(0o755)
            hand_over(self.out, *self.repository.rglob("*"))
        else:
            (self.repository / ".venv").symlink_to(ROOT / ".venv")
        self.add(disk, kept)

    def add(self, disk: Disk, kept: Iterable[str]) -> None:
        """An image's lock and its packages, and finished stages that are kept."""
        manifest = manifest_of(disk)
        (self.repository / "images" / f"{disk.name}.lock").write_text(json.dumps(manifest["lock"]))
        bring_packages(manifest["lock"], self.cache, own=self.switched)
        for stage in kept:
            if stage in manifest["stages"]:
                place = Path(stage) / manifest["stages"][stage]
                if not (self.cache / place).exists():
                    shutil.copytree(
                        ROOT / ".cache" / place, self.cache / place, symlinks=True, copy_function=link
                    )
        if self.switched:  # files of finished stages are linked, and stay root's
            directories = [path for path in self.cache.rglob("*") if path.is_dir() and not path.is_symlink()]
            hand_over(self.cache, *directories, *(self.cache / "packages").iterdir())

    def run(self, *words: str, shuffled: bool = True) -> subprocess.CompletedProcess[str]:
        """A verb of build.py; it gets --cache, and --out where there is one."""
        return subprocess.run(
            self.argv(*words),
            cwd=self.repository,
            env=self.environment(shuffled),
            umask=self.condition.umask,
            capture_output=True,
            text=True,
            check=False,
        )

    def argv(self, *words: str) -> list[str]:
        """The whole command line; run it in the repository."""
        cores = sorted(os.sched_getaffinity(0))[: self.condition.cores]
        verb = ["./build.py", *words, "--cache", str(self.seen / "cache")]
        if words[0] == "build":
            verb += ["--out", str(self.seen / "out")]
        return [*self._become(), "taskset", "-c", ",".join(map(str, cores)), ".venv/bin/python", *verb]

    def environment(self, shuffled: bool = True) -> dict[str, str]:
        """The condition's, and directories without an order."""
        order = {"PYTHONPATH": str(self.seen)} if shuffled else {}
        user = {"USER": NAME, "LOGNAME": NAME} if self.switched else {}
        alone = NOWHERE if self.condition.ordinary and not self.switched else {}
        return {**os.environ, **self.condition.env, **order, **user, **alone}

    def _become(self) -> list[str]:
        if self.switched:
            there = [str(self.scratch), str(ROOT / ".venv"), self.condition.place, sys.base_prefix, hidden()]
            return ["unshare", "--net", "--uts", "--mount", "sh", "-c", BECOME, "sh", *there]
        if os.geteuid() == 0:
            return ["unshare", "--net", "--uts", "sh", "-c", 'hostname elsewhere.invalid; exec "$@"', "sh"]
        return [] if self.condition.ordinary else ["unshare", "--map-auto", "--map-root-user", "--net", "--"]

    def build(self, disk: Disk) -> dict[str, Any]:
        """The answer of `build --json`."""
        done = self.run("build", disk.name, "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def hidden() -> str:
    """The directory above Python's that only root may enter; empty if there is none."""
    closed = [p for p in Path(sys.base_prefix).resolve().parents if not p.stat().st_mode & 0o001]
    return str(closed[-1]) if closed else ""


def manifest_of(disk: Disk) -> dict[str, Any]:
    """What `build` said of the image under test."""
    read: dict[str, Any] = json.loads(disk.path.with_name(f"{disk.name}.manifest.json").read_text())
    return read


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


def bring_packages(lock: dict[str, Any], cache: Path, own: bool) -> None:
    """The lock's packages and no others; copies, if somebody else is to own them."""
    sums = {line.split()[3] for lines in lock["packages"].values() for line in lines}
    (cache / "packages").mkdir(parents=True, exist_ok=True)
    for sha256 in {*sums, lock["zerotier"]["sha256"]}:
        source, target = (where / "packages" / f"{sha256}.deb" for where in (ROOT / ".cache", cache))
        if not target.exists():
            (shutil.copy2 if own else link)(source, target)


def hand_over(*paths: Path) -> None:
    """To the ordinary user."""
    for path in paths:
        os.chown(path, ID, ID, follow_symlinks=False)


def link(source: str | Path, target: str | Path) -> None:
    """A second name, where both are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
