"""How far each service of an image is closed in, by systemd's own count."""

import re
import subprocess
from pathlib import Path

import pytest

from .conftest import Disk, tool

PLACES = ("/usr/lib/systemd/system", "/etc/systemd/system")
OURS = 3.0  # of 10, at most
# What installs packages is to be able to do whatever a package wants.
OPEN = {f"ztgate-update{name}.service" for name in ("", "-check", "-undo")}
# What is not ours and runs, with the most that it may be exposed; docs/security.md says why it is no less.
OTHERS = {
    "dbus.service": 9.5,
    "nftables.service": 2.3,
    "ssh.service": 9.6,
    "systemd-journald.service": 4.9,
    "systemd-logind.service": 3.0,
    "systemd-networkd.service": 3.1,
    "systemd-resolved.service": 2.5,
    "systemd-timesyncd.service": 2.4,
    "systemd-udevd.service": 7.1,
    "zerotier-one.service": 3.5,
}


@pytest.fixture(scope="module", params=["vps", "pi"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image's units, in a directory of their own."""
    disk: Disk = request.getfixturevalue(request.param)
    top = tmp_path_factory.mktemp(disk.name)
    for place in PLACES:
        parent = (top / place.lstrip("/")).parent
        parent.mkdir(parents=True, exist_ok=True)
        tool("debugfs", "-R", f"rdump {place} {parent}", disk.root.device)
    return top


def exposures(tree: Path) -> dict[str, float]:
    """By unit; a template's is that of any instance."""
    files = {path.name for place in PLACES for path in (tree / place.lstrip("/")).glob("*.service")}
    ours = {name.replace("@.", "@any.") for name in files if name.startswith("ztgate")}
    words = ["systemd-analyze", "security", "--offline=yes", f"--root={tree}", "--no-pager"]
    done = subprocess.run([*words, *ours, *OTHERS], capture_output=True, text=True)
    found = re.findall(r"exposure level for (\S+): (\d+\.\d)", done.stdout)
    assert {name for name, _ in found} == {*ours, *OTHERS}, done.stderr
    return {name: float(score) for name, score in found}


def test_services_are_closed_in(tree: Path) -> None:
    found = exposures(tree)
    assert len([name for name in found if name.startswith("ztgate")]) >= 7
    too_open = {name: score for name, score in found.items() if score > OTHERS.get(name, OURS)}
    assert found.keys() >= OPEN
    for name in OPEN:
        too_open.pop(name, None)
    assert not too_open
    # A bound that is far from what is would not be noticed when somebody opens something.
    loose = {name: found[name] for name, most in OTHERS.items() if found[name] < most - 0.5}
    assert not loose


def test_the_pages_server_has_no_way_out(tree: Path) -> None:
    text = (tree / "usr/lib/systemd/system/ztgate-page.service").read_text()
    assert "DynamicUser=yes" in text and "PrivateNetwork=yes" in text
    assert "/run/ztgate/page:" in text, "the one folder that it may see"
