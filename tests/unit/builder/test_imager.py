"""The list for Raspberry Pi Imager."""

import hashlib
import json
from pathlib import Path

from builder import imager, load

ROOT = Path(__file__).resolve().parents[3]
# What Imager's schema asks of an entry (doc/json-schema/os-list-schema.json), and of what type.
REQUIRED = {
    "name": str,
    "description": str,
    "icon": str,
    "url": str,
    "extract_size": int,
    "extract_sha256": str,
    "image_download_size": int,
    "release_date": str,
    "devices": list,
}


def test_the_list_has_what_imagers_schema_asks_for(tmp_path: Path) -> None:
    image = tmp_path / "an image.img"
    image.write_bytes(b"content")
    sha256 = hashlib.sha256(b"content").hexdigest()
    said = json.loads(imager.manifest(load.load(ROOT / "images", "rpi-arm64"), image, sha256))
    assert list(said) == ["os_list"]
    (entry,) = said["os_list"]
    assert {key: type(entry[key]) for key in REQUIRED} == REQUIRED
    assert entry["url"] == f"file://{tmp_path}/an%20image.img"
    assert (entry["extract_size"], entry["extract_sha256"]) == (7, sha256)
    assert entry["init_format"] == "cloudinit"  # the wizard's answers go where overlays/rpi looks for them
