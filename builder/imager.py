"""A list of one image for Raspberry Pi Imager, which offers its wizard only for images that it knows about.

The format is Imager's own: doc/json-schema/os-list-schema.json in its repository. A double click on the file
opens it in Imager 2, which then asks for host name, user, SSH keys and the like, and writes these to the FAT
partition as cloud-init's user-data.
"""

from __future__ import annotations

import json
from pathlib import Path

from builder.image import Image

SUFFIX = ".rpi-imager-manifest"
# The tags of Imager's own list of boards; a Zero 2 W is a pi3.
DEVICES = ("pi5-64bit", "pi4-64bit", "pi3-64bit")


def manifest(image: Image, path: Path, sha256: str) -> str:
    """The list as JSON. It names the image by its place on this machine, and is of no use on another one."""
    size = path.stat().st_size
    entry = {
        "name": f"ztgate ({image.name})",
        "description": image.description,
        "icon": "",
        "url": path.resolve().as_uri(),
        "extract_size": size,
        "extract_sha256": sha256,
        "image_download_size": size,
        "release_date": str(image.date),
        "devices": list(DEVICES),
        "architecture": "armv8",
        "init_format": "cloudinit",
    }
    return json.dumps({"os_list": [entry]}, indent=2) + "\n"
