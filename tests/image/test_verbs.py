"""The verbs that look into what was built: a shell in it, and what fills it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build_py(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "build.py", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.usefixtures("image", "pi_image")
@pytest.mark.parametrize(("name", "machine"), [("vps-amd64", "x86_64"), ("rpi-arm64", "aarch64")])
def test_a_shell_runs_the_images_programs(name: str, machine: str) -> None:
    done = build_py(
        "shell", name, "--", "sh", "-c", "python3 -c 'import os; print(os.uname().machine)'; exit 3"
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"{machine}\n"
    assert not list(Path(tempfile.gettempdir()).glob("ztgate-shell-*/root"))


@pytest.mark.usefixtures("image")
def test_size_names_what_is_large() -> None:
    said = json.loads(build_py("size", "vps-amd64", "--json").stdout)
    sizes = {size["package"]: size["size"] for size in said["packages"]}
    kernel = next(size for package, size in sizes.items() if package.startswith("linux-image-"))
    assert kernel > sizes["ndppd"] > 0
    assert sizes["zerotier-one"] > 0
    assert 150 << 20 < sum(sizes.values()) < 1 << 30


@pytest.mark.usefixtures("image")
def test_why_says_that_nothing_changed(zerotier_deb: Path) -> None:
    done = build_py("why", "vps-amd64", "--zerotier", str(zerotier_deb), "--json")
    assert all(one["artifact"] for one in json.loads(done.stdout)["stages"]), done.stdout


def test_what_was_not_built(tmp_path: Path) -> None:
    done = build_py("size", "vps-amd64", "--out", str(tmp_path))
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: there is no build of vps-amd64")
