"""ZeroTier's package: from a file that the user names, or from ZeroTier's own apt repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from builder import aptrepo
from builder.errors import BuildError, Unreachable
from builder.inputs import file_digest
from builder.lock import ZerotierPin
from builder.pool import Pool
from builder.run import CommandError, run
from builder.tarfiles import Entry

NAME = "zerotier-one"
REPOSITORY = "https://download.zerotier.com/debian/{suite}"
KEY = "https://download.zerotier.com/contact%40zerotier.com.gpg"
FINGERPRINT = "74A5E9C458E1A431F1DA57A71657198823E52A61"
KEYRING = "etc/apt/keyrings/zerotier.asc"
SOURCES = "etc/apt/sources.list.d/zerotier.sources"


@dataclass(frozen=True)
class Package:
    """A .deb that has been checked, and where it came from."""

    path: Path
    version: str
    sha256: str
    source: str  # file | repository
    files: dict[str, Entry] = field(default_factory=dict)  # the repository as the image's source of updates

    @property
    def pin(self) -> ZerotierPin:
        """For a lock."""
        key = self.files[KEYRING].data.decode("latin-1") if KEYRING in self.files else ""
        return ZerotierPin(self.version, self.sha256, key)

    @property
    def stand_in(self) -> bool:
        """Whether it is the lab's stand-in, which reaches no real ZeroTier network."""
        return "standin" in self.version

    def described(self) -> dict[str, str | bool]:
        """What the manifest, --json and templates say about it."""
        return {
            "version": self.version,
            "sha256": self.sha256,
            "source": self.source,
            "stand_in": self.stand_in,
        }


def obtain(
    suite: str,
    architecture: str,
    downloads: Path,
    pool: Pool,
    pin: ZerotierPin | None = None,
) -> Package:
    """The package of the lock, else the newest one of ZeroTier's repository."""
    repository = aptrepo.Repository(REPOSITORY.format(suite=suite), suite, KEY, FINGERPRINT)
    if pin is not None:
        return _pinned(pin, repository, architecture, downloads, pool)
    return from_repository(repository, architecture, downloads)


def _pinned(
    pin: ZerotierPin, repository: aptrepo.Repository, architecture: str, downloads: Path, pool: Pool
) -> Package:
    """From the cache of packages; or from the repository, if that is where it was from."""
    kept = pool.checked(pin.sha256)
    if kept is None and not pin.key:
        raise BuildError(
            f"the locked ZeroTier {pin.version} was a file, and is not in the cache (sha256 {pin.sha256})",
            "name that file: --zerotier PATH.deb",
        )
    if kept is None:
        found = from_repository(repository, architecture, downloads, pin.sha256)
        kept = pool.add(found.path.read_bytes(), pin.sha256, str(found.path))
    files = sources(repository, pin.key.encode("latin-1")) if pin.key else {}
    version = _checked(kept, architecture, str(kept))
    return Package(kept, version, pin.sha256, "repository" if pin.key else "file", files)


def from_file(deb: Path, architecture: str) -> Package:
    """A .deb on this machine."""
    if not deb.is_file():
        hint = "./build.py standin makes one for the lab; without --zerotier it is ZeroTier's repository's"
        what = "it is a directory" if deb.is_dir() else "there is no such file"
        raise BuildError(f"--zerotier {deb}: {what}", hint)
    version = _checked(deb, architecture, f"--zerotier {deb}")
    return Package(deb.resolve(), version, file_digest(deb), "file")


def from_repository(
    repository: aptrepo.Repository, architecture: str, downloads: Path, sha256: str = ""
) -> Package:
    """The newest .deb of an apt repository; the image gets that repository as a source of updates."""
    try:
        found = aptrepo.newest(repository, NAME, architecture, downloads, sha256)
    except Unreachable as e:
        raise BuildError(f"ZeroTier's package cannot be had: {e.message}", _ways_out(repository)) from None
    version = _checked(found.path, architecture, found.url)
    return Package(found.path, version, found.sha256, "repository", sources(repository, found.key))


def sources(repository: aptrepo.Repository, key: bytes) -> dict[str, Entry]:
    """A repository as the image's source of updates."""
    text = (
        f"Types: deb\nURIs: {repository.url}\nSuites: {repository.suite}\nComponents: main\n"
        f"Signed-By: /{KEYRING}\n"
    )
    return {KEYRING: Entry(0o644, key), SOURCES: Entry(0o644, text.encode())}


def _ways_out(repository: aptrepo.Repository) -> str:
    return (
        f"fetch the .deb on a machine that reaches {repository.url}/pool/ and name it: --zerotier PATH.deb; "
        "`make demo` uses a stand-in of its own, which is good for the lab only"
    )


def _checked(deb: Path, architecture: str, label: str) -> str:
    """Its version, once we know that it is ZeroTier for this architecture."""
    try:
        text = run(["dpkg-deb", "--field", deb, "Package", "Version", "Architecture"])
    except CommandError as e:
        reason = (e.output.strip().splitlines() or ["dpkg-deb cannot read it"])[-1]
        raise BuildError(f"{label}: no Debian package: {reason}") from None
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if fields.get("Package") != NAME:
        raise BuildError(f"{label}: a package named {fields.get('Package')!r}, where {NAME!r} is needed")
    if fields.get("Architecture") not in (architecture, "all"):
        raise BuildError(f"{label}: built for {fields.get('Architecture')}, where {architecture} is needed")
    return fields["Version"]
