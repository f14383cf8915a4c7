"""What every tier of tests shares: the image and the ZeroTier package under test."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from tests import access_point, kernel

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["tests.scenarios"]
# The same cases each time, and as long as they take: machines differ.
hypothesis.settings.register_profile("ztgate", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ztgate")


def pytest_configure() -> None:
    """A shell's background job ignores SIGINT, nohup's SIGHUP, and so would what tests start and end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", type=Path, help="a built vps-amd64 image (default: build it)")
    parser.addoption("--zerotier", type=Path, help="a zerotier-one .deb (default: the stand-in)")
    parser.addoption("--arm-image", type=Path, help="a built vps-arm64 image (default: build it)")
    parser.addoption("--pi-image", type=Path, help="a built rpi-arm64 image (default: build it)")
    parser.addoption("--hostapd", type=Path, help="hostapd for arm64 (default: download it)")
    for name in kernel.OTHERS:
        parser.addoption(f"--kernel-{name}", type=Path, help="another kernel for it (default: download one)")


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
    return given.resolve() if given else request.getfixturevalue("standin_deb")


@pytest.fixture(scope="session")
def standin_deb() -> Path:
    """The lab's stand-in, which is for every architecture."""
    return Path(_build("standin").strip().splitlines()[-1]).resolve()


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, zerotier_deb: Path) -> Path:
    """The x86-64 image with the ZeroTier package under test."""
    return _image(request.config.getoption("--image"), "vps-amd64", zerotier_deb)


@pytest.fixture(scope="session")
def pi_image(request: pytest.FixtureRequest, standin_deb: Path) -> Path:
    """The Raspberry Pi's image; a real package is for one architecture, so it has the stand-in always."""
    return _image(request.config.getoption("--pi-image"), "rpi-arm64", standin_deb)


@pytest.fixture(scope="session")
def arm_image(request: pytest.FixtureRequest, standin_deb: Path) -> Path:
    """The image of an arm64 VPS, with the stand-in for the same reason."""
    return _image(request.config.getoption("--arm-image"), "vps-arm64", standin_deb)


def _image(given: Path | None, name: str, deb: Path) -> Path:
    if given is not None:
        return given.resolve()
    built = json.loads(_build("build", name, "--zerotier", deb, "--json"))
    return ROOT / str(built["path"])


@pytest.fixture(scope="session")
def other_kernels(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """By image, the packages of a kernel that it does not have."""
    work = tmp_path_factory.mktemp("kernels")
    given = {name: request.config.getoption(f"--kernel-{name}") for name in kernel.OTHERS}
    return {name: (path or kernel.download(name, work)).resolve() for name, path in given.items()}


@pytest.fixture(scope="session")
def hostapd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that makes an access point, for arm64."""
    given: Path | None = request.config.getoption("--hostapd")
    return (given or access_point.download(tmp_path_factory.mktemp("hostapd"))).resolve()
