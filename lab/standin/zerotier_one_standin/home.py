"""The daemon's home directory: the same files as the real one's."""

import errno
import json
import os
import secrets
import string
from pathlib import Path
from typing import NamedTuple

from . import identity, world
from .coerce import Json
from .errors import StandinError

_TOKEN_ALPHABET = string.ascii_lowercase + string.digits
_TOKEN_LENGTH = 24


class NetworkSettings(NamedTuple):
    """What the owner of this node lets a network do: networks.d/<nwid>.local.conf."""

    allow_managed: bool = True
    allow_global: bool = False
    allow_default: bool = False
    allow_dns: bool = False
    managed_whitelist: tuple[str, ...] = ()

    def changed(self, body: Json) -> "NetworkSettings":
        """With the booleans of a request; as in the real one, writing loses the whitelist."""
        names = {"allow_managed": "allowManaged", "allow_global": "allowGlobal"}
        names |= {"allow_default": "allowDefault", "allow_dns": "allowDNS"}
        new = {field: body[key] for field, key in names.items() if isinstance(body.get(key), bool)}
        return self._replace(managed_whitelist=(), **new)

    @property
    def text(self) -> str:
        """The file's content."""
        pairs = (
            ("allowManaged", self.allow_managed),
            ("allowGlobal", self.allow_global),
            ("allowDefault", self.allow_default),
            ("allowDNS", self.allow_dns),
        )
        return "".join(f"{key}={int(value)}\n" for key, value in pairs)


def parse_settings(text: str) -> NetworkSettings:
    """Read a .local.conf; allowManaged may be a list of prefixes."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    managed = values.get("allowManaged", "1")
    is_list = len(managed) > 5  # so the real one tells "true" from a list
    on = ("1", "t", "T")
    return NetworkSettings(
        is_list or managed.startswith(on),
        values.get("allowGlobal", "0").startswith(on),
        values.get("allowDefault", "0").startswith(on),
        values.get("allowDNS", "0").startswith(on),
        tuple(managed.split(",")) if is_list else (),
    )


class Home:
    """Reads and writes the home directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            for folder in ("networks.d", "moons.d", "peers.d", "controller.d/network"):
                (path / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StandinError(f"{path}: {error.strerror}", "the home directory must be writable") from error

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Replace a file in one step. On a disk that is full or read-only 1.14.1 goes on without, too."""
        target = self.path / name
        fresh = target.with_name(f"{target.name}.new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
                file.write(text)
            fresh.replace(target)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EROFS, errno.EIO):
                raise

    def read(self, name: str) -> str:
        """A file's text; empty if there is none."""
        try:
            return (self.path / name).read_text()
        except (OSError, UnicodeDecodeError):
            return ""

    def identity(self) -> identity.Identity:
        """This node's identity, made if there is none."""
        own = identity.parse(self.read("identity.secret"))
        if own is None or own.secret is None:
            own = identity.generate()
            self.write("identity.secret", own.secret_text, 0o600)
        if self.read("identity.public") != own.public_text:
            self.write("identity.public", own.public_text)
        return own

    def token(self, name: str) -> str:
        """A secret of the local API, made if there is none."""
        token = self.read(name).strip()
        if not token:
            token = "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(_TOKEN_LENGTH))
            self.write(name, token, 0o600)
        return token

    def local_conf(self) -> Json:
        """local.conf; empty if it is missing or broken."""
        return _json_object(self.read("local.conf"))

    def worlds(self) -> list[world.World]:
        """The moons and the planet that this node has been given."""
        files = [*sorted((self.path / "moons.d").glob("*.moon")), self.path / "planet"]
        found = (world.parse(self.read(str(file.relative_to(self.path)))) for file in files)
        return [each for each in found if each is not None]

    def networks(self) -> list[int]:
        """The networks joined before."""
        names = [file.stem for file in sorted((self.path / "networks.d").glob("*.conf"))]
        return [int(name, 16) for name in names if len(name) == 16 and _is_hex(name)]

    def network_config(self, nwid: int) -> Json:
        """The configuration that a controller sent last."""
        return _json_object(self.read(f"networks.d/{nwid:016x}.conf"))

    def save_network_config(self, nwid: int, config: Json) -> None:
        """Keep a configuration for the next start."""
        self.write(f"networks.d/{nwid:016x}.conf", json.dumps(config) if config else "\n", 0o600)

    def settings(self, nwid: int) -> NetworkSettings:
        """The owner's settings for a network."""
        return parse_settings(self.read(f"networks.d/{nwid:016x}.local.conf"))

    def save_settings(self, nwid: int, settings: NetworkSettings) -> None:
        """Keep them."""
        self.write(f"networks.d/{nwid:016x}.local.conf", settings.text)

    def forget_network(self, nwid: int) -> None:
        """Remove a left network's files."""
        for suffix in ("conf", "local.conf"):
            (self.path / "networks.d" / f"{nwid:016x}.{suffix}").unlink(missing_ok=True)

    def device_name(self, nwid: int) -> str:
        """The interface name that devicemap wants for a network; empty if it has none."""
        pairs = (line.split("=", 1) for line in self.read("devicemap").splitlines() if "=" in line)
        return dict(pairs).get(f"{nwid:016x}", "")


def _is_hex(text: str) -> bool:
    return all(c in string.hexdigits for c in text)


def _json_object(text: str) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
