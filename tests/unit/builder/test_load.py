import datetime
import textwrap
from pathlib import Path

import pytest

from builder import describe, load
from builder.errors import BuildError

from .conftest import make_tree

ROOT = Path(__file__).resolve().parents[3]
BASE = """
suite: trixie
date: 2026-01-02
hostname: gate
overlays: [common]
packages: [systemd-sysv]
remove: [etc/a]
"""
VPS = """
extends: base.yaml
description: an image
architecture: amd64
boot: grub
packages: [linux-image-cloud-amd64]
partitions:
  - {name: bios, type: bios-boot, size: 1M}
  - {name: firmware, type: firmware, size: 64M, label: ZTGATE, mount: /boot/firmware}
  - {name: root, type: root, size: auto, label: r, mount: /}
"""


def images(tmp_path: Path, vps: str = VPS, base: str = BASE) -> Path:
    return make_tree(tmp_path / "images", {"base.yaml": base, "vps.yaml": vps})


def test_every_definition_in_the_repository_loads() -> None:
    names = load.names(ROOT / "images")
    assert "vps-amd64" in names
    for name in names:
        image = load.load(ROOT / "images", name)
        assert (ROOT / "overlays" / image.overlays[0]).is_dir()
        assert image.description in describe.text(image)


def test_extends_adds_packages_and_replaces_the_rest(tmp_path: Path) -> None:
    directory = images(tmp_path, VPS + "hostname: other\nremove: [etc/b]\n")
    image = load.load(directory, "vps")
    assert image.packages == ("systemd-sysv", "linux-image-cloud-amd64")
    assert (image.inherited, image.added) == (("systemd-sysv",), ("linux-image-cloud-amd64",))
    assert image.remove == ("etc/a", "etc/b")
    assert (image.hostname, image.suite, image.formats) == ("other", "trixie", ("raw",))
    assert [p.name for p in image.partitions] == ["bios", "firmware", "root"]
    assert load.names(directory) == ["vps"]


MISTAKES = [
    (("hostname: gate", "hostnam: gate"), "images/vps.yaml: hostnam: no such key; nearest: hostname"),
    (("hostname: gate", ""), "images/vps.yaml: hostname: missing"),
    (("hostname: gate", "hostname: Big_Name"), "hostname: 'Big_Name' is not lower-case"),
    (
        ("2026-01-02", "yesterday"),
        "images/vps.yaml: date: a date (2026-11-01) is needed, not 'yesterday'",
    ),
    (("packages: [systemd-sysv]", "packages: systemd"), "packages: a list is needed, not "),
    (("[systemd-sysv]", "['rm -rf']"), "packages[0]: 'rm -rf' is no name of a Debian package"),
    (("[systemd-sysv]", "[3]"), "packages[0]: a text is needed, not 3"),
    (
        ("size: 64M", "size: 64MB"),
        "images/vps.yaml: partitions[1].size: '64MB' is not like 64M or 2G or auto",
    ),
    (("size: 64M", "size: auto"), "partitions[1].size: only a root's size can be auto"),
    (("size: 64M, ", ""), "images/vps.yaml: partitions[1].size: missing"),
    (("type: firmware", "type: esp"), "partitions[1].type: 'esp' is none of bios-boot, firmware, root"),
    (("label: ZTGATE", "lable: ZTGATE"), "partitions[1].lable: no such key; nearest: label"),
    (("type: bios-boot", "type: root"), "partitions: one of type bios-boot is needed, not 0"),
    (("boot: grub", "boot: grup"), "boot: 'grup' is none of grub, raspberry-pi; nearest: grub"),
    (
        ("extends: base.yaml", "extends: bse.yaml"),
        "images/vps.yaml: extends: there is no images/bse.yaml",
    ),
    (("extends: base.yaml", "extends: vps.yaml"), "images/vps.yaml: extends itself"),
    (("boot: grub", "boot: [grub"), "images/vps.yaml: no valid YAML"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_errors_name_the_file_and_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    directory = images(tmp_path, VPS.replace(*change), BASE.replace(*change))
    with pytest.raises(BuildError) as e:
        load.load(directory, "vps")
    assert message in e.value.message


def test_a_date_in_quotes(tmp_path: Path) -> None:
    directory = images(tmp_path, base=BASE.replace("2026-01-02", "'2026-01-02'"))
    assert load.load(directory, "vps").date == datetime.date(2026, 1, 2)


def test_an_unknown_image_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no image 'vsp'; nearest: vps"):
        load.load(images(tmp_path), "vsp")


def test_a_definition_must_be_a_mapping(tmp_path: Path) -> None:
    directory = make_tree(tmp_path, {"list.yaml": textwrap.dedent("- a\n- b\n")})
    with pytest.raises(BuildError, match="a definition is a mapping"):
        load.names(directory)
