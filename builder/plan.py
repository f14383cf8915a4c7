"""What a build is going to do: the image's packages, from where, and its stages. Nothing is made yet."""

from __future__ import annotations

import dataclasses
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from builder import foreign, gateway_config, locking, namespace, resolve, zerotier
from builder.engine import Observer
from builder.errors import BuildError
from builder.image import Image
from builder.inputs import identity
from builder.layout import template_context
from builder.lock import Lock, Pin, Wanted
from builder.locking import Chosen
from builder.overlay import Overlays
from builder.pool import Debs, Pool
from builder.project import ROOT
from builder.stages import Stage, tools, twins
from builder.stages.agent import AgentStage
from builder.stages.base import BaseStage
from builder.stages.boot_grub import BootGrubStage
from builder.stages.boot_raspberry_pi import BootRaspberryPiStage
from builder.stages.disk import DiskStage
from builder.stages.own import OwnStage
from builder.stages.rootfs import RootfsStage
from builder.stages.system import SystemStage
from builder.stages.tools import ToolsStage
from builder.stages.twins import TwinsStage
from builder.store import Store
from builder.tarfiles import Entry

VERSION = "0.1.0"
BAKED = "usr/share/ztgate/gateway.yaml"  # where `ztgate` looks for a configuration that came with the image


@dataclass(frozen=True)
class Options:
    """What the command line says about a build."""

    zerotier: Path | None = None
    config: Path | None = None
    out: Path = ROOT / "out"
    cache: Path = ROOT / ".cache"
    mirror: str = ""
    fresh: bool = False  # take in Debian's updates, whatever lock there is
    locks: Path = ROOT / "images"
    # For `verify`: this lock and date and no others; packages that are elsewhere than finished stages.
    lock: Lock | None = None
    date: int | None = None
    packages: Path | None = None


@dataclass(frozen=True)
class Plan:
    """All that a build takes, and how."""

    image: Image
    chosen: Chosen
    pool: Pool
    package: zerotier.Package
    epoch: int
    stages: list[Stage]
    config: str = ""  # the gateway.yaml that is baked in, checked

    @property
    def lock(self) -> Lock:
        """What would make these bytes again."""
        return dataclasses.replace(self.chosen.lock, zerotier=self.package.pin)


@dataclass(frozen=True)
class Named:
    """Files of the user's, read: a mistake in them is said before anything is waited for."""

    config: str  # "" without one
    package: zerotier.Package | None


def named(image: Image, options: Options) -> Named:
    """Read them.

    Raises:
        BuildError: one is not there, or is no good.
    """
    package = zerotier.from_file(options.zerotier, image.architecture) if options.zerotier else None
    return Named(gateway_config.read(options.config) if options.config else "", package)


def make(image: Image, options: Options, given: Named, cache: Path, observer: Observer) -> Plan:
    """Choose the packages, and line up the stages."""
    chosen = chosen_for(image, options, cache, observer)
    observer.note(f"packages: {chosen.source}")
    if why := namespace.why_not():
        observer.note(f"the tools tree cannot be entered, other machines may make other bytes: {why}")
    pool = pool_for(chosen, options, cache, observer)
    package = given.package or zerotier_for(image, chosen, cache, pool, observer)
    keep(package, chosen, pool, observer)
    epoch = options.date if options.date is not None else source_date(image)
    stages = stages_for(image, package, given.config, epoch, chosen.lock, pool)
    return Plan(image, chosen, pool, package, epoch, stages, given.config)


def wanted(image: Image) -> dict[str, Wanted]:
    """What its stages ask Debian for."""
    architecture = image.architecture
    is_foreign = foreign.is_foreign(architecture)

    def system(packages: tuple[str, ...], above: str = "") -> Wanted:
        return Wanted(image.suite, (architecture,), packages, image.components, system=True, above=above)

    return {
        "tools": tools.wanted(architecture if image.boot == "grub" else foreign.NATIVE),
        **({"twins": twins.WANTED} if is_foreign else {}),
        "base": system(image.inherited),
        "own": system(image.packages, above="base"),
    }


def tools_stage(store: Store, observer: Observer) -> ToolsStage:
    """The tools tree alone, for what works on images that are there: a build's, if there was one."""
    wish = tools.wanted(foreign.NATIVE)

    def stage(chosen: Chosen) -> ToolsStage:
        pool = pool_for(chosen, Options(), store.root, observer)
        return ToolsStage(wish, Debs(pool, chosen.lock.pins["tools"]))

    remembered = store.root / locking.CACHE
    known = [stage(Chosen(lock, "")) for lock in locking.known("tools", wish, ROOT / "images", remembered)]
    for one in known:
        if store.find(one.name, identity(one.name, one.inputs())):
            return one
    if known:
        return known[0]
    asked = {"tools": wish}
    return stage(
        locking.choose("tools", asked, file=None, remembered=remembered, mirror="", waiting=observer.waiting)
    )


def chosen_for(image: Image, options: Options, cache: Path, observer: Observer) -> Chosen:
    """The lock that the caller gives, or what is there, or a new one."""
    if options.lock is not None:
        if gone := wanted(image).keys() - options.lock.wanted.keys():
            what = f"the image was made by other stages than those here: it has no {', '.join(sorted(gone))}"
            raise BuildError(what, "go to the commit that it was built from")
        return Chosen(options.lock, "as the manifest says")
    return locking.choose(
        image.name,
        wanted(image),
        file=None if options.fresh else options.locks / f"{image.name}.lock",
        remembered=cache / locking.CACHE,
        mirror=options.mirror,
        waiting=observer.waiting,
    )


def pool_for(chosen: Chosen, options: Options, cache: Path, observer: Observer) -> Pool:
    """The cache of packages, and where to fetch what it lacks."""

    def places() -> list[str]:
        known = chosen.lock.wanted
        wanted = known.get("base", known["tools"])
        return resolve.places(wanted, options.mirror, cache / locking.CACHE)

    return Pool(options.packages or cache / "packages", chosen.urls, places, observer.waiting)


def zerotier_for(
    image: Image, chosen: Chosen, cache: Path, pool: Pool, observer: Observer
) -> zerotier.Package:
    """ZeroTier's package, where none is named."""
    observer.waiting("ZeroTier's package")
    downloads, pin = cache / "download", chosen.lock.zerotier
    return zerotier.obtain(image.suite, image.architecture, downloads, pool, pin)


def keep(package: zerotier.Package, chosen: Chosen, pool: Pool, observer: Observer) -> None:
    """ZeroTier's package goes to the others in the cache; one that was named goes before the lock's."""
    pin = chosen.lock.zerotier
    if pin and package.sha256 != pin.sha256:
        observer.note(f"ZeroTier: {package.path} instead of the locked {pin.version}")
    if not pool.path(package.sha256).is_file():
        pool.add(package.path.read_bytes(), package.sha256, str(package.path))


def stages_for(
    image: Image, package: zerotier.Package, config: str, epoch: int, lock: Lock, pool: Pool
) -> list[Stage]:
    """The stages of an image, in the order in which they run."""
    context = {
        **template_context(image),
        "zerotier": package.described(),
        "build": {"version": VERSION},
    }
    architecture = image.architecture
    debs = {stage: Debs(pool, pins) for stage, pins in lock.pins.items()}
    overlays = Overlays(ROOT / "overlays", image.overlays, context)
    its = Pin(zerotier.NAME, architecture, package.version, package.sha256, "")
    return [
        ToolsStage(lock.wanted["tools"], debs["tools"]),
        *([TwinsStage(architecture, debs["twins"])] if "twins" in debs else []),
        BaseStage(lock.wanted["base"], debs["base"], ROOT / "overlays/bootstrap", epoch, lock.mirror),
        OwnStage(lock.wanted["own"], debs["own"], image.added, its, epoch, lock.mirror),
        AgentStage(ROOT / "firstboot", epoch),
        SystemStage(image, epoch, overlays.size()),
        RootfsStage(
            overlays=overlays,
            epoch=epoch,
            firmware=image.partition("firmware").mount,
            extra={**package.files, **baked(config)},
        ),
        BootRaspberryPiStage(overlays) if image.boot == "raspberry-pi" else BootGrubStage(image, epoch),
        DiskStage(image, epoch),
    ]


def source_date(image: Image) -> int:
    """The newest time in the image: $SOURCE_DATE_EPOCH, or the definition's date."""
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    if said:
        if not said.isdigit():
            raise BuildError(f"SOURCE_DATE_EPOCH={said}: seconds since 1970 are needed")
        return int(said)
    return int(datetime.datetime.combine(image.date, datetime.time(), datetime.UTC).timestamp())


def baked(config: str) -> dict[str, Entry]:
    """A configuration to go into the image itself."""
    return {BAKED: Entry(0o600, config.encode())} if config else {}
