"""Building again: what is cached, and why not."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("build.py", "builder", "images", "overlays", "firstboot", "requirements.txt", "requirements-dev.txt")
LONG = ("tools", "base", "own", "agent", "system", "boot")  # the stages that no overlay touches
REBUILD = 7.0  # CPU seconds of a changed overlay: three times what it takes; of a whole file system 10
DISK = {"disk": "ran", "gate": "ran"}  # a new disk is searched


@pytest.fixture(scope="session")
def built(zerotier_deb: Path) -> dict[str, Any]:
    return build(ROOT, zerotier_deb, ROOT / "out", ROOT / ".cache")


def build(repository: Path, deb: Path, out: Path, cache: Path, **more: Any) -> dict[str, Any]:
    done = subprocess.run(
        command(repository, deb, out, cache), capture_output=True, text=True, check=False, **more
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def command(repository: Path, deb: Path, out: Path, cache: Path) -> list[str | Path]:
    return [
        sys.executable, repository / "build.py", "build", "vps-amd64", "--json",
        "--zerotier", deb, "--out", out, "--cache", cache,
    ]  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository somewhere else."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "copy" / name, symlinks=True)
        else:
            (tmp_path / "copy").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "copy" / name)
    (tmp_path / "copy/.venv").symlink_to(ROOT / ".venv")
    return tmp_path / "copy"


@pytest.fixture
def cache(tmp_path: Path, built: dict[str, Any]) -> Path:
    """A cache of its own with the long stages in it, as hard links."""
    for stage in built["stages"]:
        if stage["name"] in LONG:
            place = Path(stage["name"]) / stage["id"]
            shutil.copytree(
                ROOT / ".cache" / place, tmp_path / "cache" / place, symlinks=True, copy_function=os.link
            )
    return tmp_path / "cache"


def cpu_seconds() -> float:
    """Of all that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def actions(answer: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["action"] for stage in answer["stages"]}


def test_a_second_build_runs_nothing(built: dict[str, Any], zerotier_deb: Path) -> None:
    again = build(ROOT, zerotier_deb, ROOT / "out", ROOT / ".cache")
    if again["sha256"] != built["sha256"]:
        pytest.skip("somebody is editing the repository")
    assert set(actions(again).values()) == {"cached"}


def test_a_changed_overlay_bootstraps_nothing_again(
    copy: Path, cache: Path, zerotier_deb: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = build(copy, zerotier_deb, out, cache)
    before = cpu_seconds()
    with (copy / "overlays/common/etc/hosts.j2").open("a") as f:
        f.write("192.0.2.1 changed\n")
    second = build(copy, zerotier_deb, out, cache)
    took = cpu_seconds() - before
    assert actions(second) == {**dict.fromkeys((*LONG, "search"), "cached"), "rootfs": "ran", **DISK}
    reasons = {stage["name"]: stage["reason"] for stage in second["stages"]}
    assert reasons["rootfs"] == "overlays/common/etc/hosts.j2 changed"
    assert first["sha256"] != second["sha256"]
    assert took < REBUILD


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_stopped_leaves_nothing_half_made(
    copy: Path, cache: Path, zerotier_deb: Path, tmp_path: Path, sig: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(copy, zerotier_deb, out, cache), stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if "disk" in line and "runs" in line:
            break
    process.send_signal(sig)
    said = process.stderr.read()
    status = process.wait(30)
    assert "Traceback" not in said
    assert status == {signal.SIGINT: 130, signal.SIGKILL: -9}[sig]
    assert not list(out.glob("*")) or not (out / "vps-amd64.img").exists()
    if sig != signal.SIGKILL:
        assert list(cache.rglob(".tmp-*")) == []
    again = build(copy, zerotier_deb, out, cache)
    assert actions(again) == {**dict.fromkeys((*LONG, "rootfs"), "cached"), "search": "ran", **DISK}
    assert [*cache.rglob(".tmp-*"), *out.rglob(".tmp-*")] == []


def test_a_baked_in_configuration_makes_a_secret_image(
    copy: Path, cache: Path, zerotier_deb: Path, tmp_path: Path
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text('network: 8056c2e21c000001\ncontroller:\n  token: "baked-in-token-0001"\n')
    words = [*command(copy, zerotier_deb, tmp_path / "out", cache), "--config", config, "--debug"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    image = Path(answer["path"])
    assert answer["secret"] is True
    assert image.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o077 == 0
    assert b"baked-in-token-0001" in image.read_bytes()
    manifest = Path(answer["manifest"]).read_text()
    assert "baked-in-token-0001" not in done.stdout + done.stderr + manifest
