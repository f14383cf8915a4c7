"""The cache of packages: every .deb by its sha256, and a repository for apt of some of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from debian.debfile import DebFile

from builder import opened
from builder.errors import BuildError, Unreachable
from builder.inputs import file_digest
from builder.lock import Pin

AT_ONCE = 4  # downloads
SHOWN = 12  # packages that an error names
# A newer mmdebstrap asks apt for what is essential in the suite of that name.
RELEASE = "Suite: {suite}\nCodename: {suite}\nSHA256:\n {sha256} {size} Packages\n"
KEPT = 90  # days that a package stays which no build has used
OPENED, ABOUT = ".opened", ".json"  # beside a package: its cheaper form, and what that is


@dataclass(frozen=True)
class Pool:
    """A directory of <sha256>.deb, which fills itself; beside what was installed, a cheaper form of it."""

    root: Path
    # By sha256, of packages whose address is known; and where others may be, asked only if one is missing.
    urls: Mapping[str, str] = field(default_factory=dict)
    places: Callable[[], Sequence[str]] = lambda: ()
    waiting: Callable[[str], None] = lambda _: None

    def path(self, sha256: str) -> Path:
        """Where that content is, or would be."""
        return self.root / f"{sha256}.deb"

    def missing(self, pins: Iterable[Pin]) -> list[Pin]:
        """Those that are not here."""
        return [pin for pin in pins if not self.path(pin.sha256).is_file()]

    def provide(self, pins: Iterable[Pin]) -> None:
        """Have them all here, or one error that names what cannot be had, and the way out."""
        left = self.missing(pins)
        if not left:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        self.waiting(f"{len(left)} packages from Debian's mirror")
        said: list[tuple[Pin, Unreachable]] = []
        said += self._fetch({pin: self.urls[pin.sha256] for pin in left if pin.sha256 in self.urls})
        for place in self.places() if self.missing(left) else ():
            said += self._fetch({pin: f"{place.rstrip('/')}/{quote(pin.path)}" for pin in self.missing(left)})
        left = self.missing(left)
        if left:
            raise BuildError(*_explained(left, [why for pin, why in said if pin in left]))

    def _fetch(self, urls: Mapping[Pin, str]) -> list[tuple[Pin, Unreachable]]:
        """Fetch what is there; why something was not. A place that has fallen silent is left alone."""
        said: list[tuple[Pin, Unreachable]] = []
        silent: set[str] = set()

        def one(pin: Pin, url: str) -> None:
            host = urlsplit(url).netloc
            if host in silent:
                return
            try:
                self.add(_content(url), pin.sha256, url)
            except Unreachable as e:
                if not e.answered:
                    silent.add(host)
                said.append((pin, e))

        with ThreadPoolExecutor(AT_ONCE) as threads:
            try:
                list(threads.map(one, urls.keys(), urls.values()))
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        return said

    def add(self, content: bytes, sha256: str, label: str) -> Path:
        """Keep a package, if it is what it has to be."""
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise BuildError(
                f"{label}: sha256 {found} instead of the locked {sha256}", "somebody tampers with it?"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        unfinished = self.root / f".tmp-{sha256}"
        unfinished.write_bytes(content)
        unfinished.chmod(0o644)  # apt reads it as a user of its own
        unfinished.rename(self.path(sha256))
        return self.path(sha256)

    def checked(self, sha256: str) -> Path | None:
        """A package whose content is what its name says; a damaged one is thrown away."""
        path = self.path(sha256)
        if not path.is_file():
            return None
        if file_digest(path) != sha256:
            path.unlink()
            return None
        os.utime(path)
        return path

    def sound(self, pin: Pin) -> Path:
        """A package that is here, as it has to be."""
        deb = self.checked(pin.sha256)
        if deb is None:
            gone = f"{self.path(pin.sha256)} was damaged ({pin.short}), and is gone"
            raise BuildError(gone, "run it again: it is fetched anew")
        return deb

    def opened(self, pin: Pin) -> Opened:
        """A package as opened.py writes it, made now if it is not here or not what it was.

        What says so comes last: without that there is nothing.
        """
        path, about = (self.root / f"{pin.sha256}{suffix}" for suffix in (OPENED, ABOUT))
        if about.is_file() and path.is_file():
            found = Opened(path, **json.loads(about.read_text(encoding="utf-8")))
            if file_digest(path) == found.sha256:
                for used in (path, about, self.path(pin.sha256)):
                    with suppress(FileNotFoundError):
                        os.utime(used)
                return found
        deb = self.sound(pin)
        unfinished = self.root / f".tmp-{pin.sha256}{OPENED}"
        opened.write(deb, unfinished)
        unfinished.chmod(0o644)  # apt reads it as a user of its own
        found = Opened(path, file_digest(unfinished), control(deb))
        about.unlink(missing_ok=True)
        unfinished.rename(path)
        said = self.root / f".tmp-{pin.sha256}{ABOUT}"
        said.write_text(json.dumps({"sha256": found.sha256, "control": found.control}), encoding="utf-8")
        said.rename(about)
        return found

    def all_opened(self, pins: Iterable[Pin]) -> list[Opened]:
        """Each of them, in an order that is always the same; unpacking leaves Python's lock to others."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self.opened, sorted(pins)))

    def repository(self, pins: Iterable[Pin], suite: str, target: Path) -> Path:
        """A directory that apt takes for a mirror, with these packages and no others."""
        stanzas = []
        target.mkdir()
        for found in self.all_opened(pins):
            name = f"{found.path.stem}.deb"
            _link(found.path, target / name)
            size = found.path.stat().st_size
            stanzas.append(f"{found.control}\nFilename: ./{name}\nSize: {size}\nSHA256: {found.sha256}\n")
        index = "\n".join(stanzas)
        sum_, size = hashlib.sha256(index.encode()).hexdigest(), len(index.encode())
        (target / "Packages").write_text(index, encoding="utf-8")
        (target / "Release").write_text(RELEASE.format(suite=suite, sha256=sum_, size=size))
        for path in (target, *target.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return target

    def prune(self) -> None:
        """Forget what no build has used for long."""
        limit = time.time() - KEPT * 86400
        for path in self.root.glob("*.*"):
            if path.stat().st_mtime < limit:
                path.unlink()


@dataclass(frozen=True)
class Opened:
    """A package that is not compressed: its sha256, and its own description."""

    path: Path
    sha256: str
    control: str


@dataclass(frozen=True)
class Debs:
    """The packages of one stage."""

    pool: Pool
    pins: tuple[Pin, ...]

    def inputs(self) -> tuple[str, ...]:
        """What they are, for a stage's id."""
        return tuple(sorted(pin.input for pin in self.pins))

    def provide(self) -> None:
        """Have them here."""
        self.pool.provide(self.pins)

    def files(self) -> Iterator[Path]:
        """Each of them, not compressed, in an order that is always the same."""
        return (found.path for found in self.pool.all_opened(self.pins))

    def packed(self) -> Iterator[Path]:
        """Each of them as it came, for who needs it once and no more."""
        return (self.pool.sound(pin) for pin in sorted(self.pins))

    def repository(self, suite: str, target: Path) -> Path:
        """As a mirror, in a directory."""
        return self.pool.repository(self.pins, suite, target)


def control(deb: Path) -> str:
    """A package's own description. 200 processes of dpkg-deb's would take a second."""
    with closing(DebFile(deb)) as file:
        text = file.control.get_content("control", encoding="utf-8")
    if not isinstance(text, str):
        raise BuildError(f"{deb}: no description in it")
    return text.rstrip()


def _link(path: Path, target: Path) -> None:
    """The same file, or a copy where that cannot be."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy(path, target)


def _content(url: str) -> bytes:
    """What is at an address of one of the kinds that apt knows for a mirror."""
    parts = urlsplit(url)
    if parts.scheme not in ("file", "copy"):
        from builder.download import download  # slow to import, and seldom needed

        return download(url)
    try:
        return Path(unquote(parts.path)).read_bytes()
    except OSError as e:
        raise Unreachable(f"{url}: {e.strerror}", answered=True) from None


def _explained(left: Sequence[Pin], reasons: Sequence[Unreachable]) -> tuple[str, str]:
    named = ", ".join(pin.short for pin in left[:SHOWN])
    more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
    count = "1 package is" if len(left) == 1 else f"{len(left)} packages are"
    # The first is of the likeliest place. That a place has it not says little, if another one was silent.
    telling = sorted(reasons, key=lambda reason: reason.answered)
    why = f" ({telling[0].message})" if telling else ""
    return (
        f"{count} not in the cache and cannot be had: {named}{more}{why}",
        "mirrors keep a package until there is a newer one: --mirror URL names one that has these still "
        "(a snapshot), `./build.py lock IMAGE` or `build --fresh` takes newer ones",
    )
