"""A ZeroTier node in a namespace: the daemon under test, whichever package it comes from.

Only what the real daemon offers is used (its command line, its files, its local API), so that the
stand-in and the real one are interchangeable.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lab import process
from lab.errors import LabError
from lab.netns import Namespace
from lab.retry import NotYet, retry

PORT = 9993
Json = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """A zerotier-one package, unpacked for use in namespaces."""

    deb: Path
    tree: Path

    @classmethod
    def unpack(cls, deb: Path, tree: Path) -> "Package":
        """Unpack ``deb`` below ``tree``.

        Raises:
            LabError: it is no Debian package.
        """
        if not deb.is_file():
            raise LabError(f"{deb} is not there", "give --zerotier the path of a zerotier-one .deb")
        process.run(["dpkg-deb", "-x", deb, tree])
        return cls(deb, tree)

    @cached_property
    def version(self) -> str:
        """The package's version."""
        return process.run(["dpkg-deb", "-f", self.deb, "Version"]).strip()

    @property
    def stand_in(self) -> bool:
        """Whether it is the lab's own stand-in."""
        return "standin" in self.version

    @property
    def daemon(self) -> Path:
        """The one program, which is daemon, command-line client (-q) and identity tool (-i)."""
        return self.tree / "usr/sbin/zerotier-one"

    def idtool(self, *args: process.Arg) -> str:
        """Run the identity tool."""
        return process.run([self.daemon, "-i", *args])


class Node:
    """One daemon with its home directory, in a namespace."""

    def __init__(self, host: Namespace, package: Package, home: Path) -> None:
        self.host, self.package, self.home = host, package, home
        home.mkdir(parents=True)
        package.idtool("generate", home / "identity.secret", home / "identity.public")
        settings = {"allowTcpFallbackRelay": False, "portMappingEnabled": False}
        (home / "local.conf").write_text(json.dumps({"settings": settings}))

    @cached_property
    def address(self) -> str:
        """The node's address: 10 hex digits."""
        return (self.home / "identity.public").read_text().split(":")[0]

    def trust(self, moon: Path) -> None:
        """Take a private root from its .moon file."""
        moons = self.home / "moons.d"
        moons.mkdir(exist_ok=True)
        (moons / moon.name).write_bytes(moon.read_bytes())

    def start(self) -> None:
        """Start the daemon and wait until its local API answers."""
        # The real daemon keeps the port in a file of its own; both listen where -p says.
        self.host.start("zerotier", self.package.daemon, "-U", f"-p{PORT}", self.home)
        retry(lambda: self.api("GET", "/status"), 30, f"the ZeroTier node of {self.host.name}")

    def stop(self) -> None:
        """End the daemon."""
        self.host.stop()

    def api(self, method: str, path: str, body: Json | None = None) -> Any:
        """One request to the node's local API.

        Raises:
            LabError: no answer, or not status 200.
        """
        try:
            token = (self.home / "authtoken.secret").read_text().strip()
        except OSError as error:
            raise LabError(f"{self.host.name}: no token yet: {error}") from None
        data = ["--data-binary", json.dumps(body)] if body is not None else []
        answer = self.host.run(
            "curl", "-sS", "--fail-with-body", "--max-time", "10", "-X", method, "-H", f"X-ZT1-Auth: {token}",
            *data, f"http://127.0.0.1:{PORT}{path}",
        )  # fmt: skip
        return json.loads(answer)

    def join(self, nwid: str, **settings: bool) -> None:
        """Join a network with settings such as allowDefault."""
        self.api("POST", f"/network/{nwid}", dict(settings))

    def network(self, nwid: str) -> Json:
        """The network as the node sees it.

        Raises:
            NotYet: its status is not OK.
        """
        network: Json = self.api("GET", f"/network/{nwid}")
        if network["status"] != "OK":
            raise NotYet(f"{self.host.name}: network {nwid} is {network['status']}")
        return network


def make_moon(node: Node, endpoints: list[str], directory: Path) -> Path:
    """Make ``node`` a private root, reachable at ``endpoints`` (address/port), and return its .moon file."""
    directory.mkdir(parents=True, exist_ok=True)
    world = json.loads(node.package.idtool("initmoon", node.home / "identity.public"))
    world["roots"][0]["stableEndpoints"] = endpoints
    source = directory / "moon.json"
    source.write_text(json.dumps(world))
    # genmoon writes into the working directory, under a name that only it knows.
    genmoon = 'cd "$1" && exec "$2" -i genmoon moon.json'
    process.run(["sh", "-c", genmoon, "sh", directory, node.package.daemon])
    (moon,) = directory.glob("*.moon")
    return moon
