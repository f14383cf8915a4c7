"""ZeroTier's package from a file, and from a repository that a local server plays."""

import functools
import gzip
import hashlib
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder import zerotier
from builder.aptrepo import Repository, dearmoured
from builder.errors import BuildError
from builder.lock import ZerotierPin
from builder.pool import Pool

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("gpg", "gpgv", "dpkg-deb"))), reason="gpg, gpgv and dpkg-deb are needed"
)


def make_deb(
    path: Path, name: str = "zerotier-one", version: str = "1.2", architecture: str = "amd64"
) -> Path:
    tree = path.parent / f"{path.name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: m\nDescription: d\n"
    )
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, path], check=True, capture_output=True)
    return path


def gpg(home: Path, *arguments: str | Path) -> bytes:
    command = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--yes",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True).stdout


def make_key(home: Path, name: str) -> str:
    """A signing key; returns its fingerprint."""
    home.mkdir(mode=0o700, exist_ok=True)
    gpg(home, "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
    listed = gpg(home, "--with-colons", "--list-keys", name).decode().splitlines()
    return next(line.split(":")[9] for line in listed if line.startswith("fpr"))


@dataclass(frozen=True)
class Keys:
    home: Path
    good: str
    other: str


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    home = tmp_path_factory.mktemp("g")
    yield Keys(home, make_key(home, "good"), make_key(home, "other"))
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Site:
    """A repository in a directory, and its address."""

    def __init__(self, root: Path, port: int, keys: Keys) -> None:
        self.root, self.keys = root, keys
        self.repository = Repository(
            f"http://127.0.0.1:{port}", "trixie", f"http://127.0.0.1:{port}/key", keys.good
        )
        (root / "key").write_bytes(gpg(keys.home, "--armor", "--export", keys.good))

    def publish(self, *debs: Path, signer: str = "", compress: bool = True) -> None:
        stanzas = []
        for deb in debs:
            shutil.copy(deb, self.root / "pool" / deb.name)
            control = subprocess.run(
                ["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True
            ).stdout
            stanzas.append(f"{control}Filename: pool/{deb.name}\nSHA256: {sha256(deb)}\n")
        text = "\n".join(stanzas).encode()
        name = "main/binary-amd64/Packages" + (".gz" if compress else "")
        packages = self.root / "dists/trixie" / name
        packages.write_bytes(gzip.compress(text) if compress else text)
        digest = sha256(packages)
        release = f"Origin: test\nSHA256:\n {digest} {packages.stat().st_size} {name}\nAcquire-By-Hash: no\n"
        (self.root / "Release").write_text(release)
        signed = gpg(
            self.keys.home, "-u", signer or self.keys.good, "--clearsign", "-o", "-", self.root / "Release"
        )
        (self.root / "dists/trixie/InRelease").write_bytes(signed)


@pytest.fixture
def site(tmp_path: Path, keys: Keys) -> Iterator[Site]:
    root = tmp_path / "site"
    (root / "dists/trixie/main/binary-amd64").mkdir(parents=True)
    (root / "pool").mkdir()
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Site(root, server.server_port, keys)
        server.shutdown()


def debs(tmp_path: Path, *versions: str) -> list[Path]:
    return [make_deb(tmp_path / f"zerotier-one_{v}_amd64.deb", version=v) for v in versions]


@pytest.mark.parametrize("compress", [True, False])
def test_the_newest_version_is_taken_and_kept(site: Site, tmp_path: Path, compress: bool) -> None:
    site.publish(*debs(tmp_path, "1.9.0", "1.14.2", "1.14.0"), compress=compress)
    package = zerotier.from_repository(site.repository, "amd64", tmp_path / "cache")
    assert (package.version, package.source, package.stand_in) == ("1.14.2", "repository", False)
    assert package.sha256 == sha256(package.path)
    (site.root / "pool/zerotier-one_1.14.2_amd64.deb").unlink()  # the second time it is in the cache
    assert zerotier.from_repository(site.repository, "amd64", tmp_path / "cache") == package


def test_the_image_gets_the_repository_for_updates(site: Site, tmp_path: Path) -> None:
    site.publish(*debs(tmp_path, "1.0"))
    files = zerotier.from_repository(site.repository, "amd64", tmp_path / "cache").files
    sources = files["etc/apt/sources.list.d/zerotier.sources"].data.decode()
    assert f"URIs: {site.repository.url}\nSuites: trixie\n" in sources
    assert "Signed-By: /etc/apt/keyrings/zerotier.asc" in sources
    assert files["etc/apt/keyrings/zerotier.asc"].data == (site.root / "key").read_bytes()


def test_a_key_without_armour_will_do(site: Site, tmp_path: Path) -> None:
    (site.root / "key").write_bytes(gpg(site.keys.home, "--export", site.keys.good))
    site.publish(*debs(tmp_path, "1.0"))
    assert zerotier.from_repository(site.repository, "amd64", tmp_path).version == "1.0"


def tampered_deb(site: Site) -> None:
    path = site.root / "pool/zerotier-one_1.0_amd64.deb"
    path.write_bytes(path.read_bytes() + b"x")


def tampered_packages(site: Site) -> None:
    path = site.root / "dists/trixie/main/binary-amd64/Packages.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"1.0", b"9.0")))


def tampered_release(site: Site) -> None:
    path = site.root / "dists/trixie/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Origin: test", b"Origin: evil"))


def signed_by_another(site: Site) -> None:
    path = site.root / "Release"
    signed = gpg(site.keys.home, "-u", site.keys.other, "--clearsign", "-o", "-", path)
    (site.root / "dists/trixie/InRelease").write_bytes(signed)


def another_key_and_signature(site: Site) -> None:
    signed_by_another(site)
    (site.root / "key").write_bytes(gpg(site.keys.home, "--armor", "--export", site.keys.other))


def no_key(site: Site) -> None:
    (site.root / "key").write_text("<html>")


def unsigned(site: Site) -> None:
    shutil.copy(site.root / "Release", site.root / "dists/trixie/InRelease")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (tampered_deb, "instead of the signed"),
        (tampered_packages, "instead of the signed"),
        (tampered_release, "its signature is not one by"),
        (signed_by_another, "its signature is not one by"),
        (another_key_and_signature, "signed by"),
        (no_key, "its signature is not one by"),
        (unsigned, "its signature is not one by"),
    ],
)
def test_whoever_tampers_with_it_is_noticed(
    site: Site, tmp_path: Path, harm: Callable[[Site], None], message: str
) -> None:
    site.publish(*debs(tmp_path, "1.0"))
    harm(site)
    with pytest.raises(BuildError, match=message) as e:
        zerotier.from_repository(site.repository, "amd64", tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))
    assert e.value.hint


@pytest.mark.parametrize("lost", ["key", "dists/trixie/InRelease", "pool/zerotier-one_1.0_amd64.deb"])
def test_what_is_not_there_is_an_error_with_the_ways_out(site: Site, tmp_path: Path, lost: str) -> None:
    site.publish(*debs(tmp_path, "1.0"))
    (site.root / lost).unlink()
    with pytest.raises(BuildError) as e:
        zerotier.from_repository(site.repository, "amd64", tmp_path / "cache")
    assert f"ZeroTier's package cannot be had: {site.repository.url}/{lost}: HTTP 404" in e.value.message
    assert "--zerotier PATH.deb" in e.value.hint
    assert "stand-in" in e.value.hint


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:9", "connection refused"), ("http://nowhere.invalid", "")],
)
def test_a_repository_that_does_not_answer(site: Site, tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(BuildError) as e:
        zerotier.from_repository(replace(site.repository, url=url, key_url=f"{url}/key"), "amd64", tmp_path)
    assert e.value.message.startswith(f"ZeroTier's package cannot be had: {url}/key: {words}")
    assert " at 0x" not in e.value.message
    assert "\n" not in e.value.message


def test_a_repository_without_the_package(site: Site, tmp_path: Path) -> None:
    site.publish(make_deb(tmp_path / "other_1_amd64.deb", name="other"))
    with pytest.raises(BuildError, match="has no zerotier-one for amd64"):
        zerotier.from_repository(site.repository, "amd64", tmp_path / "cache")
    with pytest.raises(BuildError, match="lists no packages for arm64"):
        zerotier.from_repository(site.repository, "arm64", tmp_path / "cache")


@pytest.mark.parametrize(
    ("architecture", "version", "stand_in"), [("amd64", "1.14.2", False), ("all", "1+standin1", True)]
)
def test_a_package_from_a_file(tmp_path: Path, architecture: str, version: str, stand_in: bool) -> None:
    deb = make_deb(tmp_path / "z.deb", version=version, architecture=architecture)
    package = zerotier.from_file(deb, "amd64")
    assert (package.version, package.source, package.stand_in) == (version, "file", stand_in)
    assert package.files == {}


def test_a_file_that_is_not_it(tmp_path: Path) -> None:
    (tmp_path / "text.deb").write_text("<html>404</html>")
    cases = {
        tmp_path / "missing.deb": "there is no such file",
        tmp_path / "text.deb": "no Debian package",
        make_deb(
            tmp_path / "a.deb", name="zerotier"
        ): "a package named 'zerotier', where 'zerotier-one' is needed",
        make_deb(tmp_path / "b.deb", architecture="arm64"): "built for arm64, where amd64 is needed",
    }
    for path, message in cases.items():
        with pytest.raises(BuildError, match=message) as e:
            zerotier.from_file(path, "amd64")
        assert str(path) in e.value.message


def test_a_locked_version_is_taken_though_there_is_a_newer_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = make_deb(tmp_path / "old.deb"), make_deb(tmp_path / "new.deb", version="1.3")
    site.publish(old, new)
    monkeypatch.setattr(zerotier, "REPOSITORY", site.repository.url)
    monkeypatch.setattr(zerotier, "KEY", site.repository.key_url)
    monkeypatch.setattr(zerotier, "FINGERPRINT", site.repository.fingerprint)
    pool = Pool(tmp_path / "pool")
    first = zerotier.from_repository(site.repository, "amd64", tmp_path / "d", sha256(old))
    assert (first.version, first.pin.version, first.pin.sha256) == ("1.2", "1.2", sha256(old))
    again = zerotier.obtain("trixie", "amd64", tmp_path / "d", pool, first.pin)
    assert (again.version, again.files, again.pin) == (first.version, first.files, first.pin)
    shutil.rmtree(site.root)
    from_cache = zerotier.obtain("trixie", "amd64", tmp_path / "none", pool, first.pin)
    assert (from_cache.path, from_cache.files) == (pool.path(sha256(old)), first.files)


def test_a_locked_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="was a file, and is not in the cache") as e:
        zerotier.obtain("trixie", "amd64", tmp_path, Pool(tmp_path), ZerotierPin("1.2", "ab"))
    assert "--zerotier" in e.value.hint


def test_armour_that_is_none() -> None:
    with pytest.raises(BuildError, match="no OpenPGP key"):
        dearmoured(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n???\n-----END", "key")
