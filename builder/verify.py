"""`verify`: is this image what its manifest says? Build that again, and compare every byte."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import dpkg, load, lock, plan
from builder.compare import Finding, Pair
from builder.engine import Observer, identify, resume
from builder.errors import BuildError
from builder.files import sparse_digest
from builder.inputs import Inputs, difference
from builder.origin import Origins
from builder.partitions import NoTable, read
from builder.pipeline import NEEDED, left_out, space
from builder.plan import Options, Plan
from builder.project import ROOT
from builder.stages import DISK, ROOT_TAR
from builder.store import UNFINISHED, Store
from builder.tools import Tools

SCRATCH = f"verify/{UNFINISHED}stages"  # in the cache: made for this alone, and swept up whoever was killed


@dataclass(frozen=True)
class Manifest:
    """What out/IMAGE.manifest.json says of how the image was made."""

    name: str
    sha256: str
    date: int
    lock: lock.Lock
    inputs: Mapping[str, Inputs]
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """The two checksums, and what differs."""

    built: str
    found: str
    findings: tuple[Finding, ...]

    @property
    def identical(self) -> bool:
        """Every byte is the same."""
        return self.built == self.found

    @property
    def configured(self) -> bool:
        """Nothing differs but what `configure` and `preauthorize` put there."""
        return bool(self.findings) and all(finding.ours for finding in self.findings)


def verify(file: Path, manifest: Path | None, options: Options, anew: bool, observer: Observer) -> Verdict:
    """Build again what the manifest describes, and compare; `anew` takes no finished stage from the cache."""
    _check_image(file)
    said = read_manifest(manifest or file.with_name(f"{file.stem}.manifest.json"))
    image = load.load(ROOT / "images", said.name)
    given = plan.named(image, options)
    options = dataclasses.replace(options, lock=said.lock, date=said.date)
    cache = Store(options.cache.resolve())
    with (
        space(NEEDED[image.boot], cache.root),
        cache.locked(lambda: observer.note("waiting: another build uses the cache")),
        _stages(cache, anew) as store,
    ):
        planned = plan.make(image, options, given, cache.root, observer)
        check_inputs(said, planned)
        _, artifacts = resume(planned.stages, store, observer, left_out(image.architecture))
        observer.waiting("comparing")
        built = sparse_digest(artifacts["disk"] / DISK)
        found = sparse_digest(file)
        if built == found:
            return Verdict(built, found, ())
        tools = Tools(artifacts["tools"] / "tree", planned.epoch)
        owned = dpkg.owners(artifacts["system"] / ROOT_TAR)
        base = frozenset(pin.name for pin in said.lock.pins["base"])
        origins = Origins(image, ROOT, artifacts["boot"], owned, said.packages, base)
        pair = Pair(image, artifacts["disk"] / DISK, file.resolve(), tools, origins.of)
        return Verdict(built, found, tuple(pair.findings()))


def read_manifest(path: Path) -> Manifest:
    """A manifest, or an error that says what to do."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "`build` writes it beside the image; --manifest names it if it is elsewhere"
        raise BuildError(f"{path}: there is no manifest", hint) from None
    except ValueError:
        raise BuildError(f"{path}: no JSON", "is that the manifest that `build` has written?") from None
    try:
        pinned = lock.parse(data["lock"], str(path))
        inputs = {stage: dict(values) for stage, values in data["inputs"].items()}
        return Manifest(
            data["definition"]["name"], data["sha256"], int(data["date"]), pinned, inputs, data["packages"]
        )
    except (KeyError, TypeError, AttributeError):
        raise BuildError(
            f"{path}: it does not say how the image was made", "a newer `build` writes that"
        ) from None


def check_inputs(said: Manifest, planned: Plan) -> None:
    """This repository, and what was named, are what the image was made of; else it is not compared."""
    ids = identify(planned.stages)
    for stage in planned.stages:
        old = {k: v for k, v in said.inputs.get(stage.name, {}).items() if not k.startswith("stage ")}
        new = {k: v for k, v in ids[stage.name].items() if not k.startswith("stage ")}
        if why := difference(old, new):
            raise BuildError(
                f"the image was made of something else than what is here, stage {stage.name}: {why}",
                "go to the commit that it was built from; --config and --zerotier if they were given then",
            )


def _check_image(file: Path) -> None:
    if file.is_dir() or not file.exists():
        what = "it is a directory" if file.is_dir() else "there is no such file"
        raise BuildError(f"{file}: {what}", "./build.py verify out/vps-amd64.img")
    with file.open("rb") as disk:
        try:
            read(disk)
        except NoTable as e:
            raise BuildError(f"{file}: {e}", "an image as `build` makes it is needed, unpacked") from None


@contextmanager
def _stages(cache: Store, anew: bool) -> Iterator[Store]:
    """Where finished stages are, and go: the cache, or a place that is empty before and after."""
    if not anew:
        yield cache
        return
    scratch = Store(cache.root / SCRATCH)
    cache.remove(scratch.root)
    try:
        yield scratch
    finally:
        cache.remove(scratch.root)
