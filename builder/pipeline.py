"""A build from top to bottom: an image's stages, what the cache has of them, and what comes out."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder import foreign, gateway_config, imager, leaks, load, manifest, plan, zerotier
from builder.engine import Made, Observer, Outlook, StageResult, resume
from builder.engine import look_ahead as look
from builder.errors import BuildError
from builder.files import copy_sparse, replacing
from builder.image import MIB, Image
from builder.plan import Options
from builder.project import ROOT
from builder.run import TOKEN
from builder.stages import DISK, PACKAGES
from builder.stages.gate import SHA256, GateStage, on_purpose
from builder.stages.search import SearchStage
from builder.store import Store

# Of disk, by what boots it: a build from nothing takes about 2.4 GiB, mmdebstrap's own tree included; with a
# Pi's kernel, which is for every arm64 machine there is, 5.
NEEDED = {"grub": 3000 * MIB, "raspberry-pi": 5600 * MIB}


@dataclass(frozen=True)
class Result:
    """A finished build."""

    image: Image
    path: Path
    manifest: Path
    sha256: str
    size: int
    package: zerotier.Package
    packages: str  # where they are from
    stages: tuple[StageResult, ...]
    seconds: float
    secret: bool  # a configuration is baked in
    on_purpose: tuple[str, ...] = ()  # what the leak gate found and lets pass, as it is that configuration's


def build(name: str, options: Options, observer: Observer) -> Result:
    """Build an image: look at everything first, take what the cache has, make the rest."""
    began = time.monotonic()
    image = load.load(ROOT / "images", name)
    given = plan.named(image, options)
    store = Store(options.cache.resolve())
    with (
        space(NEEDED[image.boot], store.root, options.out),
        store.locked(lambda: observer.note("waiting: another build uses the cache")),
    ):
        planned = plan.make(image, options, given, store.root, observer)
        searches = searches_for(planned.config, store)
        aside = left_out(image.architecture)
        path = options.out / f"{name}.img"
        with publishing(path, secret=options.config is not None) as made:
            results, artifacts = resume([*planned.stages, *searches], store, observer, aside, made)
        sha256 = (artifacts["gate"] / SHA256).read_text()
        its = results[: -len(searches)]  # the searches' ids say who builds
        described = manifest.make(planned, its, artifacts["system"] / PACKAGES, path, sha256)
        listing = write(options.out / f"{name}.manifest.json", json.dumps(described, indent=2) + "\n")
        if image.boot == "raspberry-pi":
            write(options.out / f"{name}{imager.SUFFIX}", imager.manifest(image, path, sha256))
        store.prune(set(artifacts.values()))
        planned.pool.prune()
    size = path.stat().st_size
    seconds = round(time.monotonic() - began, 1)
    secret = options.config is not None
    package, source, wanted = planned.package, planned.chosen.source, on_purpose(artifacts["gate"])
    return Result(
        image, path, listing, sha256, size, package, source, tuple(results), seconds, secret, wanted
    )


def look_ahead(name: str, options: Options, observer: Observer) -> list[Outlook]:
    """What `build` would do, stage by stage."""
    image = load.load(ROOT / "images", name)
    store = Store(options.cache.resolve())
    given = plan.named(image, options)
    planned = plan.make(image, options, given, store.root, observer)
    stages = [*planned.stages, *searches_for(planned.config, store)]
    return look(stages, store, left_out(image.architecture))


def artifacts_of(name: str, out: Path, cache: Path) -> dict[str, Path]:
    """What the cache still has of the image that was built last, by stage.

    Raises:
        BuildError: it was not built, or the root file system is gone from the cache.
    """
    listing = out / f"{name}.manifest.json"
    ids = json.loads(listing.read_text())["stages"] if listing.exists() else {}
    found = {stage: cache / stage / id_ for stage, id_ in ids.items() if (cache / stage / id_).is_dir()}
    if not {"system", "rootfs"} <= found.keys():
        what = "the cache has forgotten" if ids else "there is no build of"
        raise BuildError(f"{what} {name}", f"./build.py build {name}")
    return found


def searches_for(config: str, store: Store) -> tuple[SearchStage, GateStage]:
    """The last stages: they know who builds, and which secrets are the user's."""
    secrets = gateway_config.secrets(config) if config else (os.environ.get(TOKEN, "").strip(),)
    allowed = (plan.BAKED,) if config else ()
    known = tuple(secret for secret in secrets if len(secret) >= leaks.LONG)
    who = leaks.who(ROOT, store.root)
    return SearchStage(who), GateStage(who, known, allowed)


def left_out(architecture: str) -> dict[str, str]:
    """Twins, where only QEMU can be had; and why."""
    why = foreign.why_not_own(architecture) if foreign.is_foreign(architecture) else ""
    return {"twins": f"left out, QEMU alone takes some six times as long: {why}"} if why else {}


@contextmanager
def publishing(target: Path, *, secret: bool) -> Iterator[Made]:
    """Give it the disk: a copy is at `target` when the block ends well, sparse, whole, and at once.

    It is made beside what comes after the disk: the search, which may yet refuse it.
    """
    with ExitStack() as stack:
        beside = stack.enter_context(ThreadPoolExecutor(1))
        copies: list[Future[None]] = []

        def made(stage: str, artifact: Path) -> None:
            if stage == "disk":
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished = stack.enter_context(replacing(target, 0o600 if secret else 0o644))
                copies.append(beside.submit(copy_sparse, artifact / DISK, unfinished))

        try:
            yield made
        finally:
            wait(copies)
        for copy in copies:
            copy.result()


def write(target: Path, text: str) -> Path:
    """Write a small file, whole or not at all."""
    with replacing(target) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return target


@contextmanager
def space(needed: int, *directories: Path) -> Iterator[None]:
    """Enough room before we begin; if it runs out all the same, one error that says where and how much."""
    for directory in directories:
        _check_room(directory, needed)
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = Path(e.filename) if e.filename else directories[0]
        raise _full(where, directories[0], needed) from None
    except BuildError as e:
        if "No space left on device" not in e.message or e.hint:
            raise
        raise _full(directories[0], directories[0], needed) from None


def _check_room(directory: Path, needed: int) -> None:
    existing = _existing(directory)
    if not existing.is_dir():
        raise BuildError(f"{existing}: it is a file, and a directory is needed", "--out and --cache name one")
    if not os.access(existing, os.W_OK):
        raise BuildError(
            f"{existing}: no permission to write there", "--out and --cache name other directories"
        )
    has_cache = any(directory.glob("base/*/root.tar"))
    if shutil.disk_usage(existing).free < (needed // 2 if has_cache else needed):
        raise _full(existing, directory, needed)


def _existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    return next(p for p in (directory.absolute(), *directory.absolute().parents) if p.exists())


def _full(where: Path, directory: Path, needed: int) -> BuildError:
    free = shutil.disk_usage(_existing(directory)).free
    return BuildError(
        f"{where}: no room: {free // MIB} MiB are free, a build needs up to {needed // MIB} MiB",
        f"make room, or name other directories with --cache and --out ({directory} can be removed)",
    )
