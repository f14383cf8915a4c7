"""What is made of an image: formats that are the same twice and hold the disk, SBOMs, block map, places."""

import hashlib
import json
import random
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import blockmap, bmap, contents, export, fitness, sbom, targets
from builder.errors import BuildError
from builder.formats import FORMATS, Source, crc32c, pin_vmdk
from builder.progress import Progress
from builder.tools import Tools
from tests.conftest import ROOT

from .conftest import Disk, tool

EPOCH = 1761955200


@pytest.fixture(scope="session")
def tools() -> Iterator[Tools]:
    """Debian 13's, which the builder has made already."""
    with ExitStack() as stack:
        shown = stack.enter_context(Progress(quiet=True))
        with export.tools(ROOT / ".cache", shown) as found:
            pass  # the cache is free again: other tests build
        yield found


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A disk of 16 MiB with data, text and holes."""
    path = tmp_path_factory.mktemp("small") / "small.img"
    chance = random.Random(1)
    with path.open("wb") as disk:
        disk.truncate(16 << 20)
        disk.seek(1 << 20)
        disk.write(chance.randbytes(300_000))
        disk.seek(9 << 20)
        disk.write(b"text\n" * 50_000)
    return Source(path, hashlib.sha256(path.read_bytes()).hexdigest(), EPOCH)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_the_same_twice_and_has_the_disk(
    tools: Tools, small: Source, tmp_path: Path, name: str
) -> None:
    made = []
    for time in ("one", "two"):
        target = tmp_path / time / f"small{FORMATS[name].suffix}"
        target.parent.mkdir()
        target.touch()
        FORMATS[name].make(tools, small, target)
        FORMATS[name].check(tools, small, target)
        made.append(target.read_bytes())
    assert made[0] == made[1]
    # Another program than the one that made it: the host's own qemu-img, of whichever version.
    if not name.startswith("raw"):
        back = tmp_path / "back.img"
        kind = {"vhd": "vpc"}.get(name, name)
        tool(
            "qemu-img",
            "convert",
            "-f",
            kind,
            "-O",
            "raw",
            tmp_path / "one" / f"small{FORMATS[name].suffix}",
            back,
        )
        assert hashlib.sha256(back.read_bytes()).hexdigest() == small.sha256


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_of_another_disk_is_noticed(tools: Tools, small: Source, tmp_path: Path, name: str) -> None:
    target = tmp_path / f"small{FORMATS[name].suffix}"
    target.touch()
    FORMATS[name].make(tools, small, target)
    other = tmp_path / "other.img"
    other.write_bytes(small.path.read_bytes()[:-1] + b"x")
    with pytest.raises(BuildError):
        FORMATS[name].check(tools, replace(small, path=other, sha256="0" * 64), target)


@pytest.mark.parametrize("digits", ["1", "c0ffee", "12345678"])
def test_a_vmdk_whose_number_is_short(tools: Tools, small: Source, tmp_path: Path, digits: str) -> None:
    one, two = tmp_path / "one.vmdk", tmp_path / "two.vmdk"
    FORMATS["vmdk"].make(tools, small, one)
    whole = one.read_bytes()
    before = re.search(rb"\nCID=\w{8}\n", whole)
    assert before
    end = 512 + 20 * 512  # of the descriptor, which qemu-img gives 20 sectors
    text = (
        whole[512:end].replace(before[0], f"\nCID={digits}\n".encode()).rstrip(b"\0").ljust(20 * 512, b"\0")
    )
    two.write_bytes(whole[:512] + text + whole[end:])
    pin_vmdk(small, two)
    assert two.read_bytes() == whole


def test_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of its catalogues


@pytest.fixture(scope="session")
def exported(vps: Disk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One export by the command line, for a place, signed."""
    out = tmp_path_factory.mktemp("export")
    key = out.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    said = command(
        "export", str(vps.path), "--target", "libvirt", "--sign", str(key), "--out", str(out), "--json"
    )
    return out, json.loads(said)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(ROOT / "build.py"), *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def command(*words: str) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_export_is_what_it_says(vps: Disk, exported: tuple[Path, dict[str, Any]]) -> None:
    out, said = exported
    assert said["ok"]
    assert said["signed"] == "OpenSSH"
    assert not said["secret"]
    names = {Path(made["path"]).name for made in said["files"]}
    stem = vps.name
    wanted = {f"{stem}.qcow2", f"{stem}.spdx.json", f"{stem}.cdx.json", f"{stem}.manifest.json"}
    assert names == {path.name for path in out.iterdir()} == wanted | {"SHA256SUMS", "SHA256SUMS.sig"}
    tool("sh", "-c", f"cd {out} && sha256sum --check --strict --quiet SHA256SUMS")
    command("check-signature", str(out.parent / "key.pub"), str(out / f"{stem}.qcow2"))
    manifest = json.loads((out / f"{stem}.manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(vps.path.read_bytes()).hexdigest()
    assert set(manifest["files"]) == {f"{stem}.qcow2", f"{stem}.spdx.json", f"{stem}.cdx.json"}
    tool("qemu-img", "check", "-q", out / f"{stem}.qcow2")


def test_the_bills_have_every_package_and_every_file_of_ours(
    vps: Disk, exported: tuple[Path, dict[str, Any]]
) -> None:
    out, _ = exported
    cdx = json.loads((out / f"{vps.name}.cdx.json").read_text())
    spdx = json.loads((out / f"{vps.name}.spdx.json").read_text())
    manifest = json.loads((out / f"{vps.name}.manifest.json").read_text())
    wanted = set(manifest["packages"].items())
    binary = {
        (c["name"], c["version"]) for c in cdx["components"] if "purl" in c and "arch=source" not in c["purl"]
    }
    assert binary == wanted
    found = {(p["name"], p["versionInfo"]) for p in spdx["packages"]}
    assert wanted <= found
    sources = {c["name"] for c in cdx["components"] if "arch=source" in c.get("purl", "")}
    assert {"linux-signed-amd64", "systemd", "openssh"} <= sources
    files = {c["name"]: c["hashes"][0]["content"] for c in cdx["components"] if c["type"] == "file"}
    assert {f"/{Path(f['fileName'])}" for f in spdx["files"]} == set(files)
    agent = {
        f"/usr/lib/ztgate/{p.relative_to(ROOT / 'firstboot')}": p for p in (ROOT / "firstboot").rglob("*.py")
    }
    for name, path in agent.items():
        assert files[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "/etc/nftables.conf" in files or vps.root.stat("/etc/nftables.conf")
    deb = next(c for c in cdx["components"] if c["name"] == "zerotier-one" and "arch=source" not in c["purl"])
    assert deb["hashes"] == [{"alg": "SHA-256", "content": manifest["zerotier"]["sha256"]}]


def test_a_block_map_leaves_out_what_nobody_uses(vps: Disk, tools: Tools, tmp_path: Path) -> None:
    disk = contents.open_image(vps.path, tools)
    file = tmp_path / "x.bmap"
    file.write_text(bmap.make(disk))
    parsed = blockmap.parse_bmap(file)
    assert parsed.size == vps.path.stat().st_size
    listed = sum(part.end - part.start for part in parsed.ranges)
    assert listed < parsed.size * 0.8
    # Written to a disk that is full of something else, it is a sound file system with the same files.
    target = tmp_path / "disk.img"
    shutil.copyfile(vps.path, target)
    with target.open("r+b") as out:
        for block in sorted(bmap.free_blocks(disk)):
            out.seek(block * bmap.BLOCK)
            out.write(b"\xa5" * bmap.BLOCK)
    tool("e2fsck", "-f", "-n", f"{target}?offset={vps.offset(vps.root_number)}")
    copy = contents.open_image(target, tools)
    assert copy.files() == disk.files()
    checker = blockmap.Checker(parsed)
    for offset, data in blockmap.read(target):
        checker.feed(offset, data)
    checker.finish(parsed.size)


FITS = {"vps": "aws digitalocean hetzner libvirt linode oracle proxmox vultr", "pi": "rpi3 rpi4 rpi5"}


@pytest.mark.parametrize("name", FITS)
def test_where_each_image_fits(name: str, tools: Tools, request: pytest.FixtureRequest) -> None:
    disk: Disk = request.getfixturevalue(name)
    facts = fitness.look(contents.open_image(disk.path, tools))
    fits = {t for t in targets.names() if not any(v.problem for v in fitness.judge(targets.load(t), facts))}
    assert fits == set(FITS[name].split())


def test_an_image_that_does_not_fit_is_not_exported(pi: Disk, tmp_path: Path) -> None:
    done = run("export", str(pi.path), "--target", "aws", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "AWS EC2 (ImportSnapshot and RegisterImage) would not take it" in done.stderr
    assert "firmware: Nitro instances start by UEFI" in done.stderr
    assert "hint:  ./build.py build vps-amd64 makes one that fits" in done.stderr
    assert not list(tmp_path.rglob("*.img*"))


def test_a_configured_image_stays_a_secret(vps: Disk, tmp_path: Path) -> None:
    image = tmp_path / "mine.img"
    tool("cp", "--sparse=always", "--reflink=auto", vps.path, image)
    config = tmp_path / "gateway.yaml"
    config.write_text('network: 8056c2e21c000001\ncontroller: {token: "7TqL4uZkD1sX8yPn3bVm6cRw9eGh2jKa"}\n')
    command("configure", str(image), "--config", str(config))
    image.chmod(0o644)  # the partition tells, whatever the file's mode says
    said = json.loads(command("export", str(image), "--format", "vhd", "--json"))
    assert said["secret"]
    made = tmp_path / "mine-export" / "mine.vhd"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_a_bill_is_the_same_twice(vps: Disk, tools: Tools, exported: tuple[Path, dict[str, Any]]) -> None:
    out, _ = exported
    manifest = json.loads((out / f"{vps.name}.manifest.json").read_text())
    subject = sbom.Subject(
        vps.name,
        manifest["definition"]["date"],
        manifest["sha256"],
        export.epoch(manifest),
        manifest["zerotier"]["sha256"],
    )
    for suffix, text in sbom.make(contents.open_image(vps.path, tools), subject).items():
        assert (out / f"{vps.name}{suffix}").read_text() == text
