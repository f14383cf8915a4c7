"""Reading an apt repository that we trust by one key's fingerprint, and by nothing else.

The key is checked against the fingerprint, InRelease against the key, Packages against InRelease, the .deb
against Packages.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from builder.errors import BuildError
from builder.run import CommandError, run


@dataclass(frozen=True)
class Repository:
    """Where it is and whose key signs it."""

    url: str
    suite: str
    key_url: str
    fingerprint: str


@dataclass(frozen=True)
class Found:
    """A downloaded package; `key` is the repository's, armoured or not."""

    path: Path
    url: str
    sha256: str
    key: bytes


def newest(
    repository: Repository, package: str, architecture: str, downloads: Path, sha256: str = ""
) -> Found:
    """Download a package's newest version, or the one with that content; everything is checked on the way."""
    key = download(repository.key_url)
    release = verified_release(repository, key)
    packages = _packages(repository, release, architecture)
    stanzas = [s for s in map(_fields, packages.split("\n\n")) if s.get("Package") == package]
    if sha256:
        stanzas = [s for s in stanzas if s.get("SHA256") == sha256]
    if not stanzas:
        which = f" with sha256 {sha256}" if sha256 else ""
        raise BuildError(f"{repository.url} has no {package} for {architecture}{which}")
    best = max(stanzas, key=cmp_to_key(_compare))
    url = f"{repository.url}/{best['Filename']}"
    path = downloads / f"{package}_{best['SHA256'][:16]}.deb"
    if not (path.is_file() and _sha256(path.read_bytes()) == best["SHA256"]):
        data = _expected(download(url), best["SHA256"], url)
        downloads.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".tmp-{path.name}")
        unfinished.write_bytes(data)
        unfinished.rename(path)
    return Found(path, url, best["SHA256"], key)


def download(url: str) -> bytes:
    """A file over HTTP."""
    from builder import download as over_http  # slow to import, and seldom needed

    return over_http.download(url)


def verified_release(repository: Repository, key: bytes) -> str:
    """The text of InRelease, if that very key has signed it."""
    url = f"{repository.url}/dists/{repository.suite}/InRelease"
    signed = download(url)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        keyring, message, text = directory / "keyring.gpg", directory / "InRelease", directory / "Release"
        keyring.write_bytes(dearmoured(key, repository.key_url))
        message.write_bytes(signed)
        try:
            status = run(["gpgv", "--status-fd=1", "--keyring", keyring, "--output", text, message])
        except CommandError as e:
            raise BuildError(
                f"{url}: its signature is not one by {repository.fingerprint}: {_gpg_reason(e.output)}",
                "somebody may have tampered with the repository: do not go round this",
            ) from None
        # VALIDSIG: the signing key's fingerprint first, its primary key's last (GnuPG doc/DETAILS).
        valid = [line.split() for line in status.splitlines() if "[GNUPG:] VALIDSIG" in line]
        if not any(repository.fingerprint in (words[2], words[-1]) for words in valid):
            signer = valid[0][-1] if valid else "nobody"
            raise BuildError(
                f"{url}: signed by {signer}, not by {repository.fingerprint}",
                "has ZeroTier changed its key? make sure before you change builder/zerotier.py",
            )
        return text.read_text(encoding="utf-8")


def _gpg_reason(output: str) -> str:
    lines = [line.removeprefix("gpgv: ") for line in output.splitlines() if line.startswith("gpgv: ")]
    return lines[-1] if lines else "gpgv gives no reason"


def dearmoured(key: bytes, label: str) -> bytes:
    """A public key as gpgv wants it; RFC 9580 section 6.2 says what armour looks like."""
    if not key.lstrip().startswith(b"-----BEGIN"):
        return key
    body = re.search(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)-----END", key, re.DOTALL
    )
    if body is None:
        raise BuildError(f"{label}: no OpenPGP key")
    import base64
    import binascii

    lines = [line for line in body[1].split() if not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        raise BuildError(f"{label}: no OpenPGP key") from None


def _packages(repository: Repository, release: str, architecture: str) -> str:
    sums = _sums(release)
    base = f"{repository.url}/dists/{repository.suite}/"
    unpackers: tuple[tuple[str, Callable[[bytes], bytes]], ...] = ((".gz", gzip.decompress), ("", bytes))
    for suffix, unpack in unpackers:
        name = f"main/binary-{architecture}/Packages{suffix}"
        if name in sums:
            data = _expected(download(base + name), sums[name], base + name)
            try:
                return unpack(data).decode()
            except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
                raise BuildError(f"{base}{name}: {e}") from None
    raise BuildError(f"{base}InRelease lists no packages for {architecture}")


def _sums(release: str) -> dict[str, str]:
    """The SHA256 section: file to checksum."""
    section = re.search(r"^SHA256:\n((?: .*\n?)+)", release, re.MULTILINE)
    rows = [line.split() for line in section[1].splitlines()] if section else []
    return {row[2]: row[0] for row in rows if len(row) == 3}


def _fields(stanza: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")


def _compare(a: dict[str, str], b: dict[str, str]) -> int:
    """By Debian's own rule for versions."""
    if a["Version"] == b["Version"]:
        return 0
    try:
        run(["dpkg", "--compare-versions", a["Version"], "gt", b["Version"]])
    except CommandError:
        return -1
    return 1


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _expected(data: bytes, sha256: str, url: str) -> bytes:
    if _sha256(data) != sha256:
        raise BuildError(
            f"{url}: sha256 {_sha256(data)} instead of the signed {sha256}",
            "a mirror in the middle of an update, or somebody tampers with it; try again later",
        )
    return data
