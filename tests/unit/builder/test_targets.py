"""Places as data: each file is read, each need judged by a table, and each page of docs/clouds is fresh."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import build
from builder import docs, fitness, load, targets
from builder.errors import BuildError
from builder.fitness import Facts
from builder.project import ROOT
from builder.targets import Limit, Need

VPS = Facts(
    architecture="amd64",
    firmware=("bios", "uefi"),
    table="gpt",
    root="ext4",
    root_by_uuid=True,
    drivers=frozenset({"virtio_blk", "virtio_net", "virtio_scsi", "sd_mod", "nvme", "ena"}),
    datasources=(*("ConfigDrive", "DigitalOcean", "Hetzner", "Vultr", "Akamai", "Ec2", "Oracle", "NoCloud"),),
    packages=frozenset({"cloud-init", "openssh-server"}),
    fat=frozenset({"EFI/BOOT/BOOTX64.EFI", "os-a/bcm2712-rpi-5-b.dtb"}),
    raw_size=705 << 20,
)
# need, of, what is changed in an image that is right, what is said then
WRONG = [
    ("architecture", ("amd64",), {"architecture": "arm64"}, "it is arm64"),
    ("firmware", ("bios",), {"firmware": ("uefi",)}, "it lacks bios"),
    ("bios-on-amd64", (), {"firmware": ("uefi",)}, "it lacks bios"),
    ("table", ("gpt", "dos"), {"table": ""}, "it is unknown"),
    ("root", ("ext3", "ext4"), {"root": "btrfs"}, "it is btrfs"),
    ("root-by-uuid", (), {"root_by_uuid": False}, "it finds its root in another way"),
    ("drivers", ("virtio_blk", "ena"), {"drivers": frozenset({"ena"})}, "it lacks virtio_blk"),
    ("datasource", ("ConfigDrive", "Ec2"), {"datasources": ("NoCloud",)}, "it has NoCloud"),
    ("datasource", ("Ec2",), {"datasources": ()}, "it has none"),
    (
        "order",
        ("ConfigDrive", "NoCloud"),
        {"datasources": ("NoCloud", "ConfigDrive")},
        "it has NoCloud, ConfigDrive",
    ),
    ("packages", ("cloud-init",), {"packages": frozenset()}, "it lacks cloud-init"),
    ("files", ("bcm2712-rpi-5-b.dtb",), {"fat": frozenset()}, "it lacks bcm2712-rpi-5-b.dtb"),
    ("raw-below", ("6G",), {"raw_size": 6 << 30}, "it has 6144 MiB"),
    ("file-below", ("5G",), {"file_size": 5 << 30}, "it has 5120 MiB"),
]


def need(name: str, of: tuple[str, ...]) -> Need:
    return Need(need=name, of=of, because="x", source="y", confidence="unverified")


@pytest.mark.parametrize(("name", "of", "changed", "said"), WRONG)
def test_each_need_is_judged(name: str, of: tuple[str, ...], changed: dict[str, object], said: str) -> None:
    judge = fitness.JUDGES[need(name, of).need]
    assert judge(VPS, of) == ""
    assert judge(replace(VPS, **changed), of) == said  # type: ignore[arg-type]


def test_every_need_has_a_judge_and_a_case() -> None:
    assert set(fitness.JUDGES) == set(targets.NEEDS) == {name for name, *_ in WRONG}


@pytest.mark.parametrize("name", targets.names())
def test_each_place_is_complete(name: str) -> None:
    target = targets.load(name)
    assert target.image in load.names(ROOT / "images")
    assert target.needs
    rows: list[Need | Limit] = [*target.needs, *target.limits]
    for row in rows:
        # What is said to be documented was read, and where and when is written down.
        assert row.confidence != "documented" or (
            row.source.startswith("https://") and row.seen != targets.NEVER
        )
    for one in target.needs:
        assert one.of or one.need in ("bios-on-amd64", "root-by-uuid")


def test_the_places_of_the_readme_are_there() -> None:
    wanted = "aws digitalocean hetzner libvirt linode oracle proxmox rpi3 rpi4 rpi5 vultr"
    assert targets.names() == wanted.split()


@pytest.mark.parametrize(
    ("typed", "near"), [("hetzer", "hetzner"), ("digital-ocean", "digitalocean"), ("Rpi5", "rpi5")]
)
def test_an_unknown_place(typed: str, near: str) -> None:
    with pytest.raises(BuildError, match=f"there is no target '{typed}'; nearest: {near}") as e:
        targets.load(typed)
    assert "vultr" in e.value.hint


@pytest.mark.parametrize("name", targets.names())
def test_each_page_is_fresh(name: str) -> None:
    page = docs.CLOUDS / f"{name}.md"
    assert page.read_text() == docs.cloud(targets.load(name)), "run: ./build.py run python -m builder.docs"


@pytest.mark.parametrize("page", sorted(docs.CLOUDS.glob("*.md")), ids=lambda page: page.name)
def test_each_command_of_a_page_is_one(page: Path) -> None:
    assert page.stem in targets.names()
    text = page.read_text().replace("\\\n", " ")
    commands = re.findall(r"^    (?:sudo )?\./build\.py (.*)", text, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        assert build.parse(shlex.split(command)).verb.name
