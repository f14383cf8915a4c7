"""Step: the token is nowhere on this machine any more.

Files are overwritten where they lie: a new file would leave the old one's blocks on the disk.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from .. import config, configfile, store, textfile, yamltext
from ..actions import Action, Overwrite, WriteFile
from ..errors import WaitingError, ZtgateError
from ..machine import Machine
from ..secret import Secret

PATIENCE = 180.0  # seconds for cloud-init; it may have failed for good
LARGEST = 32 * 1024 * 1024  # bytes; cloud-init's copies are far smaller


def filler(length: int) -> bytes:
    """What stands in a token's place: as long as it was, and a valid plain YAML scalar (config.DISCARDED)."""
    return b"discarded".ljust(length, b"-") if length >= 9 else b"-" * length


def patterns(token: str) -> Iterator[tuple[re.Pattern[bytes], bool]]:
    """The token as it is, then its three alignments in base64, line breaks allowed; True for base64.

    In UTF-16 there is a NUL byte between two characters, in either byte order. In base64 the outermost
    digits hold bits of the neighbours too, so they are left out.
    """
    plain = token.encode()
    yield re.compile(rb"\0?".join(re.escape(bytes([byte])) for byte in plain)), False
    for raw in (plain, b"\0".join(bytes([byte]) for byte in plain)):
        for shift in range(3):
            text = base64.b64encode(b"\0" * shift + raw)
            first = (shift * 8 + 5) // 6
            last = (shift + len(raw)) * 8 // 6
            digits = [re.escape(bytes([byte])) for byte in text[first:last]]
            if len(digits) >= 8:
                yield re.compile(rb"\s{0,8}".join(digits)), True


def edits(content: bytes, token: str) -> tuple[tuple[int, bytes], ...]:
    """What to overwrite in a file's content so that the token is gone and nothing moves."""
    found: list[tuple[int, bytes]] = []
    for pattern, is_base64 in patterns(token):
        for match in pattern.finditer(content):
            text = match.group()
            new = re.sub(rb"\S", b"A", text) if is_base64 else _filled(text)
            found.append((match.start(), new))
    return tuple(found)


def _filled(text: bytes) -> bytes:
    """A filler in the place of a token, the NUL bytes of UTF-16 where they were."""
    letters = iter(filler(len(text) - text.count(0)))
    return bytes(byte and next(letters) for byte in text)


def plan(files: dict[Path, bytes], token: str) -> list[Action]:
    """Overwrite it in every file that holds it."""
    found = ((path, edits(content, token)) for path, content in files.items())
    return [Overwrite(path, changes, "forget the token") for path, changes in found if changes]


def run(machine: Machine, settings: config.Controller) -> str:
    """What became of the token: kept, discarded or absent."""
    if not settings.token:
        return "absent"
    if settings.token_after_setup == "keep":
        return "kept"
    paths, token = machine.paths, settings.token.reveal()
    _let_cloud_init_finish(machine)
    # Who is told that gateway.yaml.txt is a wrong name may copy it instead of renaming it.
    typed = [*paths.configs, *configfile.misnamed(paths)]
    files = dict(_read([*typed, *_below(paths.cloud_copies + paths.cloud_logs)]))
    from_cloud = any(path not in typed and edits(c, token) for path, c in files.items())
    machine.do(plan(files, token))
    _check(machine, settings.token)
    if from_cloud or paths.cloud_config.exists():
        _disable_cloud_init(machine)
        _trim(machine)
    return "discarded"


def _trim(machine: Machine) -> None:
    """cloud-init wrote its copies anew at each stage: the older ones lie in free blocks, which are given up.

    A disk that knows no discard keeps them; nothing can be done about that from here. Nobody waits for it.
    """
    if not machine.dry_run:
        machine.probe(("sync",))
        # This service may not do it itself.
        machine.probe(("systemctl", "--no-block", "start", "fstrim.service"))


def _let_cloud_init_finish(machine: Machine) -> None:
    """Its last stage copies the user data once more; afterwards nobody would know what to look for."""
    paths = machine.paths

    def check() -> None:
        if paths.cloud_begun.exists() and not paths.cloud_result.exists():
            raise WaitingError("cloud-init is still at work")

    with contextlib.suppress(WaitingError):
        machine.wait(check, PATIENCE)


def _check(machine: Machine, token: Secret) -> None:
    """A token that was written with YAML escapes is found by no search of bytes."""
    for path in machine.paths.configs:
        content = store.read_bytes(path)
        if content and not machine.dry_run and _says(content, token):
            raise ZtgateError(f"the token is still in {path}", "write it as one plain word, without escapes")


def _says(content: bytes, token: Secret) -> bool:
    """Whether a configuration's token is this one, whatever else is wrong; what is no YAML says nothing."""
    with contextlib.suppress(ZtgateError):
        document = yamltext.parse(textfile.decode(content, ""), "", config.schema())
        controller = document.value.get("controller") if isinstance(document.value, dict) else None
        return isinstance(controller, dict) and controller.get("token") == token.reveal()
    return False


def _disable_cloud_init(machine: Machine) -> None:
    """The provider would hand the token out again at the next boot."""
    path = machine.paths.cloud_disabled
    if path.parent.is_dir() and not path.exists():
        text = b"By ztgate: the gateway is set up. Remove this file to let cloud-init run again.\n"
        machine.do([WriteFile(path, text, "cloud-init would bring the token back")])


def _below(directories: tuple[Path, ...]) -> Iterator[Path]:
    for directory in directories:
        if directory.is_file():
            yield directory
        # Links inside lead to files that are listed anyway.
        yield from (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())


def _read(paths: list[Path]) -> Iterator[tuple[Path, bytes]]:
    for path in paths:
        try:
            content = store.read_bytes(path) if path.stat().st_size <= LARGEST else None
        except OSError:
            continue
        if content is not None:
            yield path, content
