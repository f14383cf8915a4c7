"""Many personal images from one built image: a CSV or YAML file has a gateway.yaml for each of them."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import difflib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from builder import copies, frames, gateway_config
from builder.errors import BuildError
from builder.files import replacing
from builder.image import MIB
from builder.inputs import file_digest

RECEIPTS = "receipts.json"
LIMIT = 64 * MIB  # of a batch file; a thousand entries with keys and planets are a few
FILE = re.compile(r"\w[\w.-]{0,59}")  # with .tmp- and .img no more than 255 bytes, whatever the letters
WORKERS = min(4, os.cpu_count() or 1)  # more than four only fight for the disk
SHOWN = 20  # entries with something wrong that one error lists

Say = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """What the batch file says about one image, and where."""

    where: str
    file: str
    text: str = field(repr=False)  # a gateway.yaml, and its token with it


@dataclass(frozen=True)
class Order:
    """An image that can be made: all about it has been checked."""

    where: str
    target: Path
    text: str = field(repr=False)
    network: str
    gateway: str


@dataclass(frozen=True)
class Work:
    """What all images of a batch are made with: patterns by the length of their gateway.yaml."""

    base: copies.Base
    patterns: Mapping[int, copies.Pattern]
    checksums: bool
    packed: frames.Packed | None = None  # for files that are .zst


@dataclass(frozen=True)
class Receipt:
    """What was made, for the records: never the token."""

    file: str
    sha256: str  # "" unless it was asked for
    size: int
    network: str
    gateway: str
    time: str
    base_sha256: str


@dataclass(frozen=True)
class How:
    """What the images are to be like. suffix: of their names; .img.zst are compressed."""

    suffix: str = ".img"
    force: bool = False
    checksums: bool = False


def configure(image: Path, batch: Path, out: Path, say: Say, how: How) -> list[Receipt]:
    """Make the images of a batch file: nothing is written before all of it has been checked."""
    offset = _firmware_offset(image)
    orders = _checked(read(batch), batch.parent, image, out, how)
    older = _older(out / RECEIPTS)
    base, lengths = copies.base(image, offset), {len(order.text.encode()) for order in orders}
    patterns = {length: copies.pattern(base, length) for length in sorted(lengths)}
    with tempfile.TemporaryDirectory(prefix="ztgate-") as scratch:
        packed = None
        if how.suffix.endswith(frames.SUFFIX):
            say(f"{image} is compressed, once for all")
            packed = frames.pack(base, patterns.values(), Path(scratch) / "frames")
        _check_room(image, out, orders, packed)
        out.mkdir(parents=True, exist_ok=True)
        return _all_made(Work(base, patterns, how.checksums, packed), orders, older, out, say)


def _all_made(
    work: Work, orders: list[Order], older: dict[str, dict[str, Any]], out: Path, say: Say
) -> list[Receipt]:
    pool, jobs = ThreadPoolExecutor(WORKERS), list[Future[Receipt]]()
    try:
        for order in orders:
            jobs.append(pool.submit(_make, work, order))
        for number, job in enumerate(as_completed(jobs), 1):
            made = job.result()
            say(f"{number}/{len(jobs)} {out / made.file}: network {made.network}, gateway {made.gateway}")
    finally:  # when one failed or ^C came, too: what is under way gets ready, and has its receipt
        pool.shutdown(cancel_futures=True)
        receipts = [job.result() for job in jobs if not job.cancelled() and job.exception() is None]
        new = {receipt.file: dataclasses.asdict(receipt) for receipt in receipts}
        _write_private(out / RECEIPTS, list((older | new).values()))
    return receipts


def read(batch: Path) -> list[Entry]:
    """The entries of a batch file, by its ending: .csv, .yaml or .yml."""
    readers = {".csv": _from_csv, ".yaml": _from_yaml, ".yml": _from_yaml}
    reader = readers.get(batch.suffix.lower())
    if reader is None:
        raise BuildError(f"{batch}: no batch file", "its name must end in .csv, .yaml or .yml")
    entries = list(reader(batch.name, gateway_config.contents(batch, LIMIT, strict=True)))
    if not entries:
        raise BuildError(f"{batch}: there is no gateway in it", "add one with `file` and `network`")
    return entries


def _from_csv(name: str, text: str) -> Iterator[Entry]:
    """A header line with `file` and dotted keys; a row each."""
    header = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if ";" in header else ",", strict=True)
    try:
        columns = [column.strip() for column in next(rows, [])]
        _check_columns(name, columns)
        before = rows.line_num
        for row in rows:
            line, before = before + 1, rows.line_num  # a row in quotes may have many lines
            cells = [cell.strip() for cell in row]
            if any(cells[len(columns) :]):
                hint = "put a value that has the separator in it between double quotes"
                raise BuildError(f"{name}:{line}: more cells than the header has columns", hint)
            if any(cells):
                yield _row(f"{name}:{line}", dict(zip(columns, cells, strict=False)))
    except csv.Error as e:
        raise BuildError(f"{name}:{rows.line_num}: broken CSV: {e}", "check the quotes of this row") from None


def _check_columns(name: str, columns: list[str]) -> None:
    known = ["file", *gateway_config.keys()]
    if not set(columns) & set(known):  # what stands there may be a gateway's, and its token with it
        raise BuildError(f"{name}:1: no header: none of the columns is known", f"known: {', '.join(known)}")
    for column in columns:
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
            raise BuildError(f"{name}:1: column `{column}`: unknown", hint)
        if columns.count(column) > 1:
            raise BuildError(f"{name}:1: column `{column}`: given twice", "keep one of the two")
    if "file" not in columns:
        raise BuildError(f"{name}:1: column `file` is missing", "it names the image to make, without .img")


def _row(where: str, cells: dict[str, str]) -> Entry:
    file, parts, values = cells.pop("file", ""), gateway_config.keys(), dict[str, Any]()
    for key, cell in cells.items():
        if cell:
            *section, last = key.split(".")
            below = values.setdefault(section[0], {}) if section else values
            below[last] = _value(cell, parts[key]["type"])
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=LIMIT) if values else ""
    return Entry(f"{where} ({file})", file, text)


def _value(cell: str, kind: str | list[str]) -> object:
    """As the schema wants it; what does not fit stays text, and the schema's check says so."""
    if kind == "array":
        return [value.strip() for value in cell.split(";") if value.strip()]
    if kind == "boolean":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return int(cell) if kind == "integer" and re.fullmatch("[0-9]+", cell) else cell


def _from_yaml(name: str, text: str) -> Iterator[Entry]:
    """A list of mappings, or `gateways:` with that list and `common:` with what they share.

    They stay nodes: only the schema knows that `network: 0123456701234567` is no number.
    """
    try:
        root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise BuildError(
            f"{name}:{line}: broken YAML: {e.problem}", "check this line and the one before"
        ) from None
    except yaml.YAMLError:
        raise BuildError(f"{name}: no YAML", "save it as plain text in UTF-8") from None
    top = _pairs(root) if isinstance(root, yaml.MappingNode) else {"gateways": root}
    common = top.pop("common", yaml.MappingNode("tag:yaml.org,2002:map", []))
    gateways = top.pop("gateways", None)
    if top:
        raise BuildError(f"{name}: {next(iter(top))}: unknown key", "known here: common, gateways")
    if not isinstance(gateways, yaml.SequenceNode):
        raise BuildError(f"{name}: no list of gateways", "begin each gateway with `- file: NAME`")
    if not isinstance(common, yaml.MappingNode):
        raise BuildError(f"{name}: common: no `key: value` lines", "write it like a gateway.yaml")
    for index, node in enumerate(gateways.value, 1):
        if not isinstance(node, yaml.MappingNode):
            raise BuildError(f"{name}: entry {index}: no `key: value` lines", "begin it with `- file: NAME`")
        file = _pairs(node).get("file")
        called = file.value if isinstance(file, yaml.ScalarNode) else ""
        yield Entry(f"{name}: entry {index} ({called})", called, _entry_text(common, node))


def _entry_text(common: yaml.MappingNode, node: yaml.MappingNode) -> str:
    own = [(key, value) for key, value in node.value if key.value != "file"]
    merged = _merged(common, yaml.MappingNode(node.tag, own))
    return yaml.serialize(merged, allow_unicode=True, width=LIMIT) if merged.value else ""


def _merged(under: yaml.MappingNode, over: yaml.MappingNode) -> yaml.MappingNode:
    below, above = _pairs(under), _pairs(over)
    pairs = [(key, value) for key, value in under.value if str(key.value) not in above]
    for key, value in over.value:
        lower = below.get(str(key.value))
        if isinstance(lower, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            value = _merged(lower, value)
        pairs.append((key, value))
    return yaml.MappingNode(over.tag, pairs, flow_style=False)


def _pairs(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {str(key.value): value for key, value in node.value}


def _checked(entries: Iterable[Entry], directory: Path, image: Path, out: Path, how: How) -> list[Order]:
    """All that can be known about the entries before anything is written; one error has what is wrong."""
    orders, problems, seen = list[Order](), list[BuildError](), dict[str, str]()
    for entry in entries:
        try:
            target = _target(entry, image, out, how)
            first = seen.setdefault(entry.file.casefold(), entry.where)
            if first != entry.where:
                raise BuildError(f"file: `{entry.file}` is taken by {first}", "each image needs its own name")
            text, config = gateway_config.checked(entry.text, gateway_config.NAME, directory)
            orders.append(Order(entry.where, target, text, config.network, config.gateway.name))
        except BuildError as e:
            # The lines that it may name are those of a text that nobody but us has seen.
            said = re.sub(r"^(gateway\.yaml(:\d+)?: )?", f"{entry.where}: ", e.message, flags=re.MULTILINE)
            problems.append(BuildError(said, e.hint))
    if problems:
        more = len(problems) - SHOWN
        lines = [problem.message for problem in problems[:SHOWN]]
        raise BuildError("\n".join(lines + [f"and {more} more"] * (more > 0)), problems[0].hint)
    return orders


def _target(entry: Entry, image: Path, out: Path, how: How) -> Path:
    if not FILE.fullmatch(entry.file):
        what = "up to 60 letters, digits, dots, dashes and underscores, and no dot or dash in front"
        raise BuildError(f"file: `{entry.file}` cannot be the name of an image", f"a name has {what}")
    for ending in (how.suffix, ".img"):
        if entry.file.lower().endswith(ending):
            short = entry.file[: -len(ending)]
            raise BuildError(f"file: `{entry.file}`: {how.suffix} is added to it", f"write `{short}`")
    target = out / f"{entry.file}{how.suffix}"
    if target.exists() and target.samefile(image):
        raise BuildError(f"file: {target} is the image to be copied", "take another name, or --out DIR")
    if target.exists() and not (how.force and target.is_file()):
        raise BuildError(
            f"file: {target} exists already", "--force makes it again; --out DIR puts it elsewhere"
        )
    return target


def _firmware_offset(image: Path) -> int:
    if image.is_block_device():
        raise BuildError(
            f"{image}: a batch is made from an image file", "./build.py build vps-amd64 makes one"
        )
    offset = gateway_config.firmware_offset(image, "rb")
    if gateway_config.is_configured(image, offset):
        raise BuildError(
            f"{image}: it is configured already: its {gateway_config.NAME} and token would be in every copy",
            "take an image as it was built: ./build.py build makes it again from the cache",
        )
    return offset


def _check_room(image: Path, out: Path, orders: list[Order], packed: frames.Packed | None) -> None:
    """Room for all of them, if they do not share their blocks with the image."""
    directory = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    if not os.access(directory, os.W_OK):
        raise BuildError(f"{directory}: no permission to write there", "--out names another directory")
    replaced = sum(order.target.exists() for order in orders)  # each stays until its successor is whole
    each = packed.size if packed else image.stat().st_blocks * 512
    needed = each * (len(orders) - replaced + min(replaced, WORKERS))
    free = shutil.disk_usage(directory).free
    if free < needed and (packed or not _can_reflink(image, directory)):
        room = f"{free // MIB} MiB are free, {len(orders)} images need {needed // MIB} MiB"
        raise BuildError(
            f"{directory}: no room: {room}",
            "make room, or name another directory with --out: on XFS or Btrfs raw images share blocks",
        )


def _can_reflink(image: Path, directory: Path) -> bool:
    with tempfile.NamedTemporaryFile(dir=directory) as clone:
        return copies.cloned(image, Path(clone.name))


def _make(work: Work, order: Order) -> Receipt:
    """One image: copied and configured under another name, then renamed."""
    content = order.text.encode()
    try:
        with replacing(order.target, 0o600) as unfinished:
            sha256 = _filled(work, content, unfinished)
            size = unfinished.stat().st_size
    except BuildError as e:
        raise BuildError(f"{order.where}: {e.message}", e.hint) from None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Receipt(order.target.name, sha256, size, order.network, order.gateway, now, work.base.sha256)


def _filled(work: Work, content: bytes, target: Path) -> str:
    """Its sha256, or "" if nobody asked for it."""
    pattern = work.patterns[len(content)]
    if work.packed:
        frames.make(work.packed, pattern, content, target)
        return file_digest(target) if work.checksums else ""
    copies.make(work.base, pattern, content, target)
    return copies.sha256(work.base, target) if work.checksums else ""


def _older(path: Path) -> dict[str, dict[str, Any]]:
    """Receipts of earlier batches in the same directory, by image."""
    try:
        return {receipt["file"]: receipt for receipt in json.loads(path.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError):
        raise BuildError(f"{path}: no list of receipts", "move it away, or use another --out DIR") from None


def _write_private(path: Path, content: list[dict[str, Any]]) -> None:
    with replacing(path, 0o600) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
