"""What no image may hold: who a machine is, and what building it left behind."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable

from builder.errors import BuildError

# Left behind by packages and by the build; taken out. A trailing /* empties a directory and keeps it.
LEFTOVERS = (
    "dev/*",
    "etc/ssh/ssh_host_*",  # made at first boot
    "etc/machine-id",  # an empty one is put there: systemd fills it at boot
    "var/lib/dbus/machine-id",
    "var/lib/zerotier-one/*.secret",
    "var/lib/zerotier-one/identity.public",
    "var/lib/zerotier-one/zerotier-one.p*",  # pid and port of a daemon
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "etc/.resolv.conf.systemd-resolved.bak",  # of the machine that built it
    "etc/*-",  # passwd-, group-, ...: what they were before the last package
    "etc/.pwd.lock",
    "etc/apt/apt.conf.d/*mmdebstrap",
    "usr/sbin/policy-rc.d",  # keeps services from starting while an image is made
    "var/lib/apt/lists/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/ucf/*.0",
    "var/log/*.log",
    "var/log/apt/*",
    "var/log/journal/*",
    "run/*",
    "tmp/*",
    "root/.bash_history",
    "root/.wget-hsts",
)

# Looked for again in what is packed, wherever it may have come from.
SECRETS = {
    "var/lib/zerotier-one/*.secret": "two machines from one image would be one ZeroTier node",
    "var/lib/zerotier-one/identity.*": "two machines from one image would be one ZeroTier node",
    "etc/ssh/ssh_host_*": "every machine from this image would have the same SSH host key",
    "var/lib/systemd/random-seed": "every machine from this image would start with the same randomness",
    "var/lib/systemd/credential.secret": "every machine from this image would have the same secret",
    "*/.bash_history": "a shell's history",
    "*/.ssh/authorized_keys": "somebody's key would open every machine",
    "*/.ssh/id_*": "somebody's key",
    "usr/sbin/policy-rc.d": "no service would start after an update",
}
MACHINE_ID = "etc/machine-id"


def is_leftover(path: str, removed: Iterable[str] = ()) -> bool:
    """Whether a path is taken out: a leftover, or one that the image's definition removes."""
    return _any((*LEFTOVERS, *removed)).match(path) is not None


@functools.cache
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all: an image has ten thousand paths."""
    return re.compile("|".join(map(fnmatch.translate, patterns)))


def check(path: str, size: int) -> None:
    """The leak check: BuildError for a path that must not be in an image."""
    for pattern, why in SECRETS.items() if _any(tuple(SECRETS)).match(path) else ():
        if fnmatch.fnmatchcase(path, pattern):
            raise BuildError(
                f"the root file system would hold /{path}: {why}", "take it out of the overlay or package"
            )
    if path == MACHINE_ID and size > 0:
        raise BuildError(f"the root file system would hold a /{path} with content: it must be empty")
