"""A mirror of Debian's security archive with packages of the test's own, signed with a key of its own.

mirror = Mirror(work, "amd64")
mirror.add(Package("ndppd", "99", {"usr/sbin/ndppd": b"#!/bin/sh\n"}))
mirror.publish()
mirror.serve(world.isp.host, "203.0.1.1")
shell.run(mirror.adopted())
"""

import hashlib
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import process
from lab.netns import Namespace
from lab.retry import retry

SUITE, PORT = "trixie-security", 8088
KEYRING = "/etc/apt/keyrings/lab.asc"


@dataclass(frozen=True)
class Package:
    """A package; files by path without the first slash, scripts (postinst and its like) by name."""

    name: str
    version: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    depends: str = ""

    @property
    def file(self) -> str:
        """As in the pool."""
        return f"{self.name}_{self.version.replace(':', '%3a')}.deb"

    def control(self, architecture: str) -> str:
        """DEBIAN/control."""
        depends = f"Depends: {self.depends}\n" if self.depends else ""
        return (
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: {architecture}\n{depends}"
            "Maintainer: The lab <lab@example.org>\nDescription: made for a test\n"
        )


class Mirror:
    """What is published replaces what was."""

    def __init__(self, work: Path, architecture: str) -> None:
        self.work, self.architecture = work, architecture
        self.root = work / "mirror"
        self._home = work / "gnupg"
        self._home.mkdir(parents=True, mode=0o700)
        (self.root / "pool").mkdir(parents=True)
        self._files: dict[str, str] = {}  # by package
        self._url = ""
        self._gpg("--quick-gen-key", "--passphrase", "", "Lab <lab@example.org>", "ed25519", "sign", "never")

    def _gpg(self, *words: process.Arg) -> str:
        return process.run(["gpg", "--homedir", self._home, "--batch", "--yes", "--armor", *words])

    def add(self, package: Package) -> None:
        """Build it; of each name the archive has the last one only, as Debian's."""
        tree = self.work / "trees" / package.name / package.version.replace(":", "_")
        for path, content in package.files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
            (tree / path).chmod(0o755)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(package.control(self.architecture))
        for name, script in package.scripts.items():
            (tree / "DEBIAN" / name).write_text(script)
            (tree / "DEBIAN" / name).chmod(0o755)
        process.run(["dpkg-deb", "--root-owner-group", "--build", tree, self.root / "pool" / package.file])
        self._files[package.name] = package.file

    def publish(self) -> None:
        """Write and sign the lists."""
        place = self.root / "dists" / SUITE
        binary = place / "main" / f"binary-{self.architecture}"
        binary.mkdir(parents=True, exist_ok=True)
        packages = "".join(map(self._stanza, self._files.values())).encode()
        (binary / "Packages").write_bytes(packages)
        name = f"main/binary-{self.architecture}/Packages"
        date = process.run(["date", "-u", "-R"]).strip().replace("+0000", "UTC")
        (place / "Release").write_text(
            f"Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: {SUITE}\n"
            f"Date: {date}\nArchitectures: {self.architecture}\nComponents: main\n"
            f"SHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} {name}\n"
        )
        self._gpg("--digest-algo", "SHA512", "--clear-sign", "-o", place / "InRelease", place / "Release")

    def _stanza(self, file: str) -> str:
        path = self.root / "pool" / file
        content = path.read_bytes()
        return (
            f"{process.run(['dpkg-deb', '--field', path]).strip()}\nFilename: pool/{file}\n"
            f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
        )

    def serve(self, host: Namespace, address: str) -> None:
        """Over HTTP, on an address of a host's."""
        words: list[process.Arg] = [
            "-m",
            "http.server",
            "--bind",
            address,
            "--directory",
            self.root,
            str(PORT),
        ]
        host.start("mirror", sys.executable, *words)
        retry(lambda: host.listens(PORT), 20, "the mirror")
        self._url = f"http://{address}:{PORT}"

    def adopted(self) -> str:
        """A shell command for a gateway, after which it has no other source of packages."""
        source = f"deb [signed-by={KEYRING}] {self._url} {SUITE} main"
        return (
            f"mkdir -p /etc/apt/keyrings && printf %s {shlex.quote(self._gpg('--export'))} > {KEYRING} && "
            f"echo {shlex.quote(source)} > /etc/apt/sources.list"
        )
