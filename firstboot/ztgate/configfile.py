"""Finding the configuration, and knowing whether its text has passed validation before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from . import config, store
from .config import Config
from .errors import WaitingError
from .paths import Paths


@dataclass(frozen=True)
class Found:
    """A configuration and the file it came from."""

    config: Config
    path: Path


def find(paths: Paths) -> Found:
    """The configuration of the strongest source; WaitingError when there is none."""
    for path in paths.configs:
        content = store.read_bytes(path)
        # An empty file is what somebody who changed their mind leaves behind.
        if content is not None and content.strip():
            return Found(_load(content, path, paths), path)
    raise WaitingError(
        "no configuration: put gateway.yaml on the FAT partition (ZTGATE) or into cloud-init user data",
        f"looked for {', '.join(map(str, paths.configs))}",
    )


def _load(content: bytes, path: Path, paths: Paths) -> Config:
    mark = paths.run_dir / "validated"
    digest = hashlib.sha256(content).hexdigest()
    validated = store.read_text(mark) == digest
    loaded = config.load(content.decode("utf-8", "replace"), str(path), validated=validated)
    if not validated:
        store.write(mark, digest.encode())
    return loaded
