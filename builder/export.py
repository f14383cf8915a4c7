"""A built image made into what is handed on: formats, checksums, block map, SBOMs, signature."""

from __future__ import annotations

import datetime
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from builder import bmap, contents, fitness, gateway_config, sbom, signature
from builder.engine import Observer, resume
from builder.errors import BuildError
from builder.fitness import Verdict
from builder.formats import FORMATS, Source
from builder.image import MIB
from builder.inputs import file_digest
from builder.plan import tools_stage
from builder.preauthorize import IDENTITY
from builder.report import shown_path
from builder.signature import SUMS
from builder.store import Store
from builder.targets import Target
from builder.tools import Tools

DEFAULT = ("raw.zst",)  # for an image without a definition
CONFIGURED = (gateway_config.NAME, IDENTITY)  # on the FAT partition; both are secrets
MANIFEST = ".manifest.json"


@dataclass(frozen=True)
class Order:
    """What the command line asks for."""

    image: Path
    formats: tuple[str, ...]
    out: Path
    cache: Path
    target: Target | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Made:
    """A file that came out."""

    path: str
    format: str  # or what else it is
    size: int
    sha256: str


@dataclass(frozen=True)
class Result:
    """A finished export."""

    image: str
    files: tuple[Made, ...]
    secret: bool  # somebody's configuration is in it
    signed: str  # the kind of signature, or ""
    target: str
    verdicts: tuple[Verdict, ...]
    seconds: float


@contextmanager
def tools(cache: Path, observer: Observer) -> Iterator[Tools]:
    """Debian 13's tools of the cache, made if they are not there."""
    store = Store(cache.resolve())
    with store.locked(lambda: observer.note("waiting: another build uses the cache")):
        _, artifacts = resume([tools_stage(store, observer)], store, observer)
        yield Tools(artifacts["tools"] / "tree", 0)


def export(order: Order, observer: Observer) -> Result:
    """Make it all beside its place, check it, and put it there when everything is right.

    Raises:
        BuildError: it is no image of ours, its target does not take it, or a file came out wrong.
    """
    began = time.monotonic()
    if order.key:
        signature.secret_kind(order.key)  # said before the work, not after it
    with tools(order.cache, observer) as found:
        disk = contents.open_image(order.image, found)
        verdicts = refuse_unfit(order.target, disk) if order.target else ()
        secret = is_secret(disk)
        order.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-export-", dir=order.out) as name:
            scratch = Path(name)
            kinds = _make(order, replace(disk, tools=found), scratch, secret, observer)
            verdicts = (*verdicts, *_refuse_big(order, scratch, kinds))
            signed = _seal(order, scratch, kinds)
            files = tuple(_described(order.out, scratch / file, kind) for file, kind in kinds.items())
            _publish(scratch, order.out)
    target = order.target.name if order.target else ""
    seconds = round(time.monotonic() - began, 1)
    return Result(shown_path(order.image), files, secret, signed, target, verdicts, seconds)


def is_secret(disk: contents.Disk) -> bool:
    """Whether a configuration is in it: on the FAT partition, or baked in, which its mode shows."""
    return bool(disk.on_fat() & set(CONFIGURED)) or disk.path.stat().st_mode & 0o077 == 0


def refuse_unfit(target: Target, disk: contents.Disk) -> tuple[Verdict, ...]:
    """The verdicts of a place that takes the image; BuildError with all that is wrong otherwise."""
    verdicts = [v for v in fitness.judge(target, fitness.look(disk)) if v.need.need != "file-below"]
    bad = [v for v in verdicts if v.problem]
    if bad:
        lines = "".join(f"\n    {v.need.need}: {v.need.because}; {v.problem}" for v in bad)
        raise BuildError(
            f"{disk.path}: {target.title} would not take it, or it would not start there:{lines}",
            f"./build.py build {target.image} makes one that fits",
        )
    return tuple(verdicts)


def _make(
    order: Order, disk: contents.Disk, scratch: Path, secret: bool, observer: Observer
) -> dict[str, str]:
    """Each file and what it is; they have their final names already, as some formats hold them."""
    stem = order.image.name.removesuffix(".img")
    described = _manifest(order.image)
    when = epoch(described)
    source = Source(order.image, file_digest(order.image), when)
    pinned = replace(disk.tools, epoch=when)
    kinds = {}
    for name in order.formats:
        target = scratch / f"{stem}{FORMATS[name].suffix}"
        with _stage(observer, name, FORMATS[name].help):
            target.touch(0o600 if secret else 0o644)
            FORMATS[name].make(pinned, source, target)
            FORMATS[name].check(pinned, source, target)
            target.chmod(0o600 if secret else 0o644)
        kinds[target.name] = name
    if any(name.startswith("raw") for name in order.formats):
        with _stage(observer, "bmap", "which blocks a disk needs"):
            (scratch / f"{stem}.img.bmap").write_text(bmap.make(disk))
        kinds[f"{stem}.img.bmap"] = "bmap"
    with _stage(observer, "sbom", "what is in it"):
        bills = sbom.make(disk, _subject(stem, source, described))
        sbom.validate(bills)
        for suffix, text in bills.items():
            (scratch / f"{stem}{suffix}").write_text(text, encoding="utf-8")
            kinds[f"{stem}{suffix}"] = "sbom"
    text = json.dumps(_exported(described, source, secret, scratch, kinds), indent=2) + "\n"
    (scratch / f"{stem}{MANIFEST}").write_text(text, encoding="utf-8")
    kinds[f"{stem}{MANIFEST}"] = "manifest"
    return kinds


@contextmanager
def _stage(observer: Observer, name: str, reason: str) -> Iterator[None]:
    observer.started(name, reason, None)
    began = time.monotonic()
    yield
    observer.finished(name, round(time.monotonic() - began, 1))


def _manifest(image: Path) -> dict[str, Any]:
    """What `build` wrote beside the image; {} if there is nothing."""
    path = image.with_name(f"{image.name.removesuffix('.img')}{MANIFEST}")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except FileNotFoundError:
        return {}
    except ValueError:
        raise BuildError(f"{path}: damaged", "./build.py build makes it again") from None


def epoch(described: dict[str, Any]) -> int:
    """The time that files in the image have, from its definition."""
    date = datetime.date.fromisoformat(described.get("definition", {}).get("date", "2000-01-01"))
    return int(datetime.datetime.combine(date, datetime.time(), datetime.UTC).timestamp())


def _subject(stem: str, source: Source, described: dict[str, Any]) -> sbom.Subject:
    definition, zerotier = described.get("definition", {}), described.get("zerotier", {})
    version = definition.get("date", "unknown")
    return sbom.Subject(stem, version, source.sha256, source.epoch, zerotier.get("sha256", ""))


def _exported(
    described: dict[str, Any], source: Source, secret: bool, scratch: Path, kinds: dict[str, str]
) -> dict[str, Any]:
    """The build's manifest, and what was made of its image: that may have been configured since."""
    as_built = described.get("sha256", "")
    files = {
        name: {"format": kind, "size": (scratch / name).stat().st_size, "sha256": file_digest(scratch / name)}
        for name, kind in kinds.items()
    }
    changed = as_built != source.sha256
    return {
        **described,
        "sha256": source.sha256,
        "changed_since_build": changed,
        "secret": secret,
        "files": files,
    }


def _refuse_big(order: Order, scratch: Path, kinds: dict[str, str]) -> list[Verdict]:
    """The needs of a place that are about the finished file."""
    if order.target is None:
        return []
    file = next(scratch / name for name, kind in kinds.items() if kind == order.target.format)
    verdicts = []
    for need in order.target.needs:
        if need.need == "file-below":
            verdicts.append(Verdict(need, fitness.below(need.of[0], file.stat().st_size)))
            if verdicts[-1].problem:
                raise BuildError(
                    f"{file.name}: {need.because}; {verdicts[-1].problem}", "make the image smaller"
                )
    return verdicts


def _seal(order: Order, scratch: Path, kinds: dict[str, str]) -> str:
    """The list of checksums, and its signature."""
    sums = scratch / SUMS
    sums.write_text("".join(f"{file_digest(scratch / name)}  {name}\n" for name in sorted(kinds)))
    kinds[SUMS] = "checksums"
    if order.key is None:
        return ""
    signed = signature.sign(sums, order.key)
    kinds[signed.name] = "signature"
    return signature.secret_kind(order.key).name


def _described(out: Path, file: Path, kind: str) -> Made:
    return Made(shown_path(out / file.name), kind, file.stat().st_size, file_digest(file))


def _publish(scratch: Path, out: Path) -> None:
    """Each file by a rename, the list of them last; what an earlier list had and this one has not, goes."""
    older = _listed(out / SUMS)
    for leftover in (SUMS, *(SUMS + kind.suffix for kind in (signature.MINISIGN, signature.OPENSSH))):
        (out / leftover).unlink(missing_ok=True)
    files = sorted(scratch.iterdir(), key=lambda file: file.name.startswith(SUMS))
    for file in files:
        file.rename(out / file.name)
    for name in older - {file.name for file in files}:
        (out / name).unlink(missing_ok=True)


def _listed(sums: Path) -> set[str]:
    """The names in a list of ours; none that leads elsewhere."""
    try:
        names = {line.partition("  ")[2] for line in sums.read_text().splitlines()}
    except FileNotFoundError:
        return set()
    return {name for name in names if name and "/" not in name}


def as_json(result: Result) -> str:
    """One object: what `export --json` prints."""
    verdicts = [
        {"need": v.need.need, "confidence": v.need.confidence, "source": v.need.source}
        for v in result.verdicts
    ]
    plain = {**asdict(replace(result, verdicts=())), "verdicts": verdicts}
    return json.dumps({"ok": True, **plain})


def as_text(result: Result) -> str:
    """What is there now."""
    lines = [f"{made.path}  {_size(made.size)}  sha256 {made.sha256[:16]}…" for made in result.files]
    if result.secret:
        lines.append(
            "A configuration is in it: the files are as secret as its token, and only you can read them."
        )
    if result.signed:
        lines.append(f"signed with {result.signed}; ./build.py check-signature PUBLIC_KEY FILE checks it")
    if result.target:
        lines.append(f"next: docs/clouds/{result.target}.md")
    return "\n".join(lines)


def _size(size: int) -> str:
    return f"{size / MIB:.1f} MiB" if size >= MIB // 10 else f"{size} bytes"


def chosen(asked: Sequence[str], target: Target | None, defined: Sequence[str]) -> tuple[str, ...]:
    """The formats to make: the target's, or what was asked for, or what the definition says."""
    if target is not None:
        if asked and tuple(asked) != (target.format,):
            raise BuildError(
                f"--format: {target.title} takes {target.format}", "--target alone makes that file"
            )
        return (target.format,)
    return tuple(dict.fromkeys(asked or defined or DEFAULT))
