"""Finding the configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from . import config, store, textfile
from .config import Config
from .errors import WaitingError, ZtgateError
from .paths import Paths
from .secret import Secret

NAME = "gateway.yaml"
_PLACEHOLDER = config.PLACEHOLDER.encode()


@dataclass(frozen=True)
class Found:
    """A configuration and the file it came from."""

    config: Config
    path: Path


def find(paths: Paths) -> Found:
    """The configuration of the strongest source; WaitingError when there is none."""
    for path in paths.configs:
        content = store.read_bytes(path)
        text = textfile.decode(content, str(path)) if content is not None else ""
        # An empty file is what somebody who changed their mind leaves behind.
        if content is not None and text.strip():
            return Found(config.load(text, str(path)), path)
    if others := {path.name: typed for path in misnamed(paths) if (typed := _edited(path))}:
        raise WaitingError(
            f"no {NAME}, but {' and '.join(others)}: rename it to {NAME}", _how_to_rename(others)
        )
    raise WaitingError(
        f"no configuration: put {NAME} on the FAT partition (ZTGATE) or into cloud-init user data",
        f"looked for {', '.join(map(str, paths.configs))}",
    )


def misnamed(paths: Paths) -> list[Path]:
    """Files on the FAT partition that editors made of a gateway.yaml: gateway.yaml.txt, gateway.yml."""
    names = paths.fat.glob("[Gg][Aa][Tt][Ee][Ww][Aa][Yy]*") if paths.fat.is_dir() else ()
    return sorted(path for path in names if path.name != NAME and path.is_file())


def _edited(path: Path) -> bytes:
    """What somebody wrote into a file; nothing for the example as it came with the image."""
    content = (store.read_bytes(path) or b"").replace(b"\0", b"").strip()  # NUL: it may be UTF-16
    return b"" if _PLACEHOLDER in content and b'token: ""' in content else content


def _how_to_rename(others: dict[str, bytes]) -> str:
    if any(_PLACEHOLDER in content for content in others.values()):
        return "and put your network's id into it: it is still the example's"
    if any(name.lower().endswith(".txt") for name in others):
        return "Windows hides the end of the name: in its Explorer, View > Show > File name extensions"
    return ""


def with_token(found: Found, token: Secret | None) -> Found:
    """The configuration with a given token in the place of its own."""
    if token is None:
        return found
    if found.config.controller.kind == "none":
        raise ZtgateError("controller.kind is none: no token is needed", "leave out --token-file")
    controller = replace(found.config.controller, token=token)
    return replace(found, config=replace(found.config, controller=controller))
