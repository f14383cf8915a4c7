"""What every tier of tests shares: the image and the ZeroTier package under test."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import kernel

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """A shell's background job ignores SIGINT, and so would the programs that tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", type=Path, help="a built vps-amd64 image (default: build it)")
    parser.addoption("--zerotier", type=Path, help="a zerotier-one .deb (default: the stand-in)")
    parser.addoption("--kernel", type=Path, help="a kernel's .deb (default: download Debian's general one)")


def _build(*words: str | Path) -> str:
    argv = [sys.executable, str(ROOT / "build.py"), *map(str, words)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(
            f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False
        )
    return done.stdout


@pytest.fixture(scope="session")
def zerotier_deb(request: pytest.FixtureRequest) -> Path:
    """The ZeroTier package under test: the stand-in, unless --zerotier names another."""
    given: Path | None = request.config.getoption("--zerotier")
    return (given or Path(_build("standin").strip().splitlines()[-1])).resolve()


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, zerotier_deb: Path) -> Path:
    """The x86-64 image with the ZeroTier package under test."""
    given: Path | None = request.config.getoption("--image")
    if given is not None:
        return given.resolve()
    built = json.loads(_build("build", "vps-amd64", "--zerotier", zerotier_deb, "--json"))
    return ROOT / str(built["path"])


@pytest.fixture(scope="session")
def other_kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel's package that the image does not have."""
    given: Path | None = request.config.getoption("--kernel")
    return (given or kernel.download(tmp_path_factory.mktemp("kernel"))).resolve()
