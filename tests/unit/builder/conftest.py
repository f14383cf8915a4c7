"""Fake tools on PATH and small trees of files."""

import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.lock import Pin, Wanted
from builder.pool import Debs, Pool
from builder.stages.own import OwnStage

FakeTool = Callable[[str, str], Path]


@pytest.fixture
def fake_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """Put a shell script on PATH under a tool's name; the returned file lists its calls, one a line."""
    directory = tmp_path / "fake-tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    def make(name: str, script: str = "") -> Path:
        calls = directory / f"{name}.calls"
        calls.touch()
        tool = directory / name
        tool.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        return calls

    return make


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Downloads are tried as often as ever, and at once; how long each pause would have been."""
    waited: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(sleep=waited.append, time=time.time))
    return waited


def make_deb(directory: Path, name: str = "a", version: str = "1", **fields: str) -> bytes:
    """A Debian package without files."""
    tree = directory / f"{name}.tree"
    shutil.rmtree(tree, ignore_errors=True)
    lines = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "m", **fields}
    make_tree(tree, {"DEBIAN/control": "".join(f"{k}: {v}\n" for k, v in lines.items()) + "Description: d\n"})
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, directory / "x.deb"], check=True)
    return (directory / "x.deb").read_bytes()


def pin(content: bytes, name: str = "a", version: str = "1") -> Pin:
    """Its line in a lock."""
    path = f"pool/main/{name}/{name}_{version}_all.deb"
    return Pin(name, "all", version, hashlib.sha256(content).hexdigest(), path)


def debs(directory: Path) -> Debs:
    """A package that is in the cache."""
    pool = Pool(directory / "packages")
    content = make_deb(directory)
    pool.add(content, pin(content).sha256, "a.deb")
    return Debs(pool, (pin(content),))


def own_stage(directory: Path, architecture: str = "amd64") -> OwnStage:
    """An image that adds nano, and ZeroTier, both from the cache."""
    wanted = Wanted("trixie", (architecture,), ("a", "nano"), system=True, above="base")
    made = debs(directory)
    content = make_deb(directory, "zerotier-one")
    zerotier = pin(content, "zerotier-one")
    made.pool.add(content, zerotier.sha256, "z.deb")
    return OwnStage(wanted, made, ("nano",), zerotier, 1_000_000)


def make_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Files by path and content; a content of `-> target` makes a symbolic link."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)
    return root
