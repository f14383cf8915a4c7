"""gateway.yaml on its way into an image: token filled in, checked by the appliance's code, put on the FAT."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Literal

import yaml

from builder import blockdev, partitions
from builder.errors import BuildError
from builder.run import TOKEN, CommandError, run, which

# The one import from the appliance's side, so that gateway.yaml has one reader.
FIRSTBOOT = Path(__file__).resolve().parent.parent / "firstboot"
if str(FIRSTBOOT) not in sys.path:
    sys.path.insert(0, str(FIRSTBOOT))

from ztgate import config as ztgate_config  # noqa: E402
from ztgate import textfile, validate, yamltext  # noqa: E402
from ztgate.errors import ZtgateError  # noqa: E402

NAME = "gateway.yaml"
UNFINISHED = "gateway.new"
LABEL = "ZTGATE"
LIMIT = 1 << 20  # bytes; a planet and some moons are a few kilobytes


def read(path: Path) -> str:
    """The text of a gateway.yaml with its token filled in, valid."""
    return checked(contents(path, LIMIT), path.name, path.parent)[0]


def contents(path: Path, limit: int, *, strict: bool = False) -> str:
    """The text of a file, of so many bytes at most, in any encoding that the appliance reads.

    strict=True: in Unicode only, where a letter that is guessed would matter.
    """
    try:
        if path.stat().st_size > limit:
            raise BuildError(f"{path}: bigger than {limit >> 20} MiB", "is this the right file?")
        return textfile.decode(path.read_bytes(), path.name, strict=strict)
    except FileNotFoundError:
        raise BuildError(f"{path}: there is no such file", "README.md shows a gateway.yaml") from None
    except IsADirectoryError:
        raise BuildError(f"{path}: it is a directory", "a gateway.yaml is a file in it, perhaps") from None
    except ZtgateError as e:
        raise BuildError(e.message, e.hint) from None
    except OSError as e:
        raise BuildError(f"{path}: {e.strerror}") from None


def checked(text: str, name: str, directory: Path) -> tuple[str, ztgate_config.Config]:
    """A gateway.yaml's text with its token filled in, and what it says; token-file begins at directory."""
    text = with_token(text, directory, os.environ.get(TOKEN, "").strip())
    try:
        return text, ztgate_config.load(text, name)
    except ZtgateError as e:
        raise BuildError(e.message, e.hint) from None


def keys() -> dict[str, dict[str, Any]]:
    """Every key of a gateway.yaml, as controller.token, with its part of the schema."""
    found: dict[str, dict[str, Any]] = {}
    for key, part in ztgate_config.schema()["properties"].items():
        below = part.get("properties")
        found |= {f"{key}.{name}": leaf for name, leaf in below.items()} if below else {key: part}
    return found


def secrets(text: str) -> tuple[str, ...]:
    """The secrets that a checked gateway.yaml holds: tokens, passwords."""
    root = yamltext.compose(text)
    found = []
    for key, part in keys().items():
        node: yaml.Node | None = root
        for word in key.split("."):
            pair = _pair(node, word) if isinstance(node, yaml.MappingNode) else None
            node = pair[1] if pair else None
        if part.get("x-secret") and isinstance(node, yaml.ScalarNode) and not _empty(node):
            found.append(str(node.value))
    return tuple(found)


def with_token(text: str, directory: Path, from_environment: str) -> str:
    """The same text with the token of `token-file` or $ZTGATE_TOKEN in its place; nothing else is touched."""
    try:
        root = yamltext.compose(text)
    except yaml.YAMLError:
        return text  # the appliance's reader says what is wrong with it, and where
    if not isinstance(root, yaml.MappingNode):
        return text
    controller = _pair(root, "controller")
    section = controller[1] if controller and isinstance(controller[1], yaml.MappingNode) else None
    token, file = (_pair(section, "token"), _pair(section, "token-file")) if section else (None, None)
    kind = _pair(section, "kind")
    if kind and kind[1].value == "none":
        return text
    if token and not _empty(token[1]):
        return text
    if file and not _empty(file[1]):
        secret = _from_file(str(file[1].value), directory)
        span = (file[0].start_mark.index, file[1].end_mark.index)
        return _replaced(text, _without(text, token, span), f"token: {json.dumps(secret)}")
    if not from_environment:
        return text
    said = f"token: {json.dumps(from_environment)}"
    if token:
        return _replaced(text, [(token[0].start_mark.index, token[1].end_mark.index)], said)
    return _inserted(text, root, controller, section, said)


def without_controller(text: str) -> str:
    """A checked gateway.yaml with a token, for a gateway that asks no controller: `kind: none` instead."""
    root = yamltext.compose(text)
    controller = _pair(root, "controller") if isinstance(root, yaml.MappingNode) else None
    assert controller is not None
    key, value = controller
    # A block ends where the next key begins.
    ending = "\n" if isinstance(value, yaml.MappingNode) and not value.flow_style else ""
    start, end = key.start_mark.index, value.end_mark.index
    return f"{text[:start]}controller: {{kind: none}}{ending}{text[end:]}"


def _inserted(
    text: str,
    root: yaml.MappingNode,
    controller: tuple[yaml.Node, yaml.Node] | None,
    section: yaml.MappingNode | None,
    said: str,
) -> str:
    if section is not None and section.value:
        first = section.value[0][0].start_mark
        after = ", " if section.flow_style else "\n" + " " * first.column
        return text[: first.index] + said + after + text[first.index :]
    if controller is not None:  # `controller:` without anything, or {}
        key, value = controller
        return text[: key.start_mark.index] + f"controller: {{{said}}}" + text[value.end_mark.index :]
    if root.flow_style:  # {network: …}
        start = root.start_mark.index + 1
        return f"{text[:start]}controller: {{{said}}}, {text[start:]}"
    return text.rstrip("\n") + f"\ncontroller:\n  {said}\n"


def _without(
    text: str, token: tuple[yaml.Node, yaml.Node] | None, span: tuple[int, int]
) -> list[tuple[int, int]]:
    """The places to replace: the token-file, and all up to an empty token beside it."""
    if token is None:
        return [span]
    start, end = token[0].start_mark.index, token[1].end_mark.index
    if start < span[0]:  # all up to the token-file goes
        return [(start, span[1])]
    return [span, (span[1], end)]


def _replaced(text: str, spans: list[tuple[int, int]], said: str) -> str:
    start, end = spans[0][0], spans[-1][1]
    return text[:start] + said + text[end:]


def _pair(node: yaml.MappingNode | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((k, v) for k, v in node.value if k.value == key), None) if node else None


def _empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~")


def _from_file(name: str, directory: Path) -> str:
    path = directory / Path(name).expanduser()
    if validate.may_be_secret(name) and not path.exists():
        raise BuildError(
            "controller.token-file: there is no such file", "a token itself is the value of `token:`"
        )
    try:
        secret = textfile.decode(path.read_bytes(), path.name).strip()
    except (OSError, ZtgateError) as e:
        reason = e.strerror if isinstance(e, OSError) else "no text"
        hint = "a path without a leading / begins at the directory of the file that names it"
        raise BuildError(f"controller.token-file: {path}: {reason}", hint) from None
    if not secret or any(c.isspace() for c in secret):
        raise BuildError(f"controller.token-file: {path}: one token in one line is needed")
    return secret


def configure(image: Path, config: Path) -> None:
    """Put a gateway.yaml on the FAT partition of an image, or of a disk that holds one: whole or not at all.

    Only a disk needs root. BuildError says what is wrong with the image, the disk or the file.
    """
    write(image, firmware_offset(image), {NAME: read(config)})


def write(image: Path, offset: int, files: dict[str, str]) -> None:
    """Put files on an image or a disk, one after the other, each whole or not at all."""
    for name, text in files.items():
        put(image, offset, text, name)
    if image.is_block_device():
        _flush(image)


def put(image: Path, offset: int, text: str, name: str = NAME) -> None:
    """Write a checked gateway.yaml, or another text, into the FAT file system at this offset."""
    if image.is_file():
        image.chmod(0o600)  # before the token is in it
    drive = f"{image}@@{offset}"
    _forget(image, offset, UNFINISHED)  # of a run that was killed
    # Through a pipe: a temporary file would outlive a kill, and be found in free blocks afterwards.
    _mtools("mcopy", "-o", "-i", drive, "-", f"::{UNFINISHED}", stdin=text.encode())
    _forget(image, offset, name)
    _mtools("mren", "-i", drive, f"::{UNFINISHED}", f"::{name}")


def is_configured(image: Path, offset: int) -> bool:
    """Whether there is a gateway.yaml on the FAT file system at this offset."""
    return get(image, offset, NAME) is not None


def get(image: Path, offset: int, name: str) -> str | None:
    """A text on the FAT file system at this offset; None if there is no such file."""
    try:
        return _mtools("mtype", "-i", f"{image}@@{offset}", f"::{name}")
    except CommandError:
        return None


def _flush(device: Path) -> None:
    """Have it all written: a card may be taken out as soon as we say that it is done."""
    with device.open("rb") as disk:
        try:
            os.fsync(disk.fileno())
        except OSError as e:
            raise BuildError(f"{device}: {e.strerror}", "it is worn out, or was pulled out") from None


def firmware_offset(image: Path, mode: Literal["rb", "r+b"] = "r+b") -> int:
    """Where the FAT partition of a ztgate image begins, in bytes; "rb" if it is not to be changed."""
    device = image.is_block_device()
    if device:  # a mounted file system would not see what is written below it, and write over it
        blockdev.refuse_used(blockdev.find(str(image)), str(image))
    elif not image.is_file():
        what = "it is a directory" if image.is_dir() else "there is no such file"
        raise BuildError(f"{image}: {what}", _where_it_may_be(image))
    hint = "./build.py build vps-amd64 makes one; a compressed image must be unpacked first"
    try:
        with image.open(mode) as disk:
            for part in partitions.read(disk):
                if partitions.fat_label(disk, part.offset) == LABEL:
                    return part.offset
    except PermissionError:
        sudo, what = "put sudo before the command" if device else "", "read" if mode == "rb" else "change"
        raise BuildError(f"{image}: no permission to {what} it", sudo) from None
    except partitions.NoTable as e:
        raise BuildError(f"{image}: no ztgate image: {e}", hint) from None
    raise BuildError(f"{image}: no ztgate image: it has no FAT partition labelled {LABEL}", hint)


def _where_it_may_be(typed: Path) -> str:
    """A hint for who typed the name of an image instead of its file."""
    built = Path("out") / f"{typed.name}.img"
    return f"do you mean {built}?" if built.is_file() else "./build.py build vps-amd64 makes one"


def _forget(image: Path, offset: int, name: str) -> None:
    """Delete a file and what was in it: an older token must not stay in the free space."""
    try:
        found = places(image, offset, name)
    except CommandError:
        return  # there is none
    with image.open("r+b") as disk:
        for at, size in found:
            disk.seek(at)
            disk.write(bytes(size))
    _mtools("mdel", "-i", f"{image}@@{offset}", f"::{name}")


def places(image: Path, offset: int, name: str) -> list[tuple[int, int]]:
    """Where on the disk a file's clusters are, in its order: offsets and sizes; CommandError without it."""
    where = _mtools("mshowfat", "-i", f"{image}@@{offset}", f"::{name}")
    with image.open("rb") as disk:
        return [
            place
            for first, last in re.findall(r"<(\d+)(?:-(\d+))?>", where)
            for place in partitions.fat_clusters(disk, offset, int(first), int(last or first))
        ]


def _mtools(program: str, *arguments: str | Path, stdin: bytes | None = None) -> str:
    if which(program) is None:
        raise BuildError(f"{program} is not installed", "./build.py setup installs what is missing (mtools)")
    # Without the check for a geometry of floppy disks, and without what the user's own mtools.conf says.
    return run([program, *arguments], stdin=stdin, env={"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"})
