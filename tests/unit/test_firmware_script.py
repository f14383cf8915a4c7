"""overlays/rpi's ztgate-firmware: which kernel a Raspberry Pi would start, whatever happens to an update."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STOPS = """\
#!/bin/sh
echo >> {calls}
[ "$(wc -l < {calls})" -lt "$STOP" ] || kill -9 $PPID
exec /usr/bin/{program} "$@"
"""
SCRIPT = ROOT / "overlays/rpi/usr/libexec/ztgate-firmware"


def card(root: Path, kernel: str) -> None:
    """A root file system with a kernel of that content, as far as ztgate-firmware looks at it."""
    for path, content in {
        "boot/vmlinuz-1": kernel,
        "boot/initrd.img-1": f"initrd of {kernel}",
        "usr/lib/modules/1/dtb/broadcom/bcm2711-rpi-4-b.dtb": "tree",
        "usr/lib/modules/1/dtb/broadcom/bcm2712-rpi-5-b.dtb": "tree",
        "usr/lib/modules/1/dtb/broadcom/bcm2837-rpi-3-b.dtb": "tree",
        "usr/lib/raspberry-pi/start.elf": "firmware",
        "usr/share/ztgate/raspberry-pi/cmdline.txt": "root=x",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    config = ROOT / "overlays/rpi/usr/share/ztgate/raspberry-pi/config.txt"
    (root / "usr/share/ztgate/raspberry-pi/config.txt").write_bytes(config.read_bytes())
    for link in ("vmlinuz", "initrd.img"):
        (root / link).unlink(missing_ok=True)
        (root / link).symlink_to(f"boot/{link}-1")


def booted(fat: Path) -> tuple[str, str]:
    """The kernel and the initrd that the firmware would start."""
    (prefix,) = [
        line for line in (fat / "config.txt").read_text().splitlines() if line.startswith("os_prefix")
    ]
    directory = fat / prefix.partition("=")[2]
    return (directory / "vmlinuz").read_text(), (directory / "initrd.img").read_text()


def test_an_update_goes_to_the_other_directory(tmp_path: Path) -> None:
    root, fat = tmp_path / "root", tmp_path / "fat"
    fat.mkdir()
    for kernel in ("one", "two", "three", "three"):
        card(root, kernel)
        subprocess.run(["sh", SCRIPT, root, fat], check=True)
        assert booted(fat) == (kernel, f"initrd of {kernel}")
    assert (fat / "os-b/vmlinuz").read_text() == "two"


def test_an_update_that_stops_anywhere_leaves_a_card_that_boots(tmp_path: Path) -> None:
    """Every program that the script calls fails in turn, as when the power does."""
    root, fat, tools = tmp_path / "root", tmp_path / "fat", tmp_path / "tools"
    fat.mkdir()
    tools.mkdir()
    card(root, "old")
    subprocess.run(["sh", SCRIPT, root, fat], check=True)
    card(root, "new")
    for program in ("cp", "sync", "rm", "mkdir", "dd", "mv"):
        (tools / program).write_text(STOPS.format(calls=tmp_path / "calls", program=program))
        (tools / program).chmod(0o755)
    for stop in range(1, 40):
        (tmp_path / "calls").unlink(missing_ok=True)
        env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "STOP": str(stop)}
        status = subprocess.run(["sh", SCRIPT, root, fat], env=env).returncode
        assert booted(fat) in (("old", "initrd of old"), ("new", "initrd of new")), f"stopped at call {stop}"
        if status == 0:
            break
    assert booted(fat) == ("new", "initrd of new")
