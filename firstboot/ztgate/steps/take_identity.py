"""Step: an identity that `build.py preauthorize` put on the card becomes this node's, and leaves the card.

The file says who this machine is to be: it wins over an identity that ZeroTier has made by itself meanwhile.
It goes only when its content is durably in its place, so that a power cut costs nothing.
"""

from __future__ import annotations

from .. import formats, store
from ..actions import Action, Command, Overwrite, Remove, WriteFile
from ..errors import ZtgateError
from ..machine import Machine
from ..paths import Paths

UNIT = "zerotier-one.service"


def plan(found: bytes | None, own: bytes | None, paths: Paths) -> list[Action]:
    """found: the file on the card; own: this node's identity.secret."""
    if found is None:
        return []
    identity = found.replace(b"\0", b"").strip().decode("ascii", "replace")
    gone: list[Action] = [
        Overwrite(paths.fat_identity, ((0, bytes(len(found))),), "nobody else is to have this identity"),
        Remove(paths.fat_identity, "it is in its place"),
    ]
    if not identity:  # a power cut between the two
        return gone[1:]
    if not formats.IDENTITY.fullmatch(identity):
        raise ZtgateError(
            f"{paths.fat_identity.name} on the FAT partition is no ZeroTier identity with its secret part",
            "remove it, or make the image anew with ./build.py preauthorize",
        )
    if own is not None and own.strip().decode("ascii", "replace") == identity:
        return gone
    public = identity.rpartition(":")[0]
    home = paths.zerotier_home
    return [
        Command(("systemctl", "stop", UNIT), "it is to start with the identity from the card"),
        WriteFile(home / "identity.public", public.encode(), "this node's identity"),
        WriteFile(home / "identity.secret", identity.encode(), "this node's identity", 0o600),
        *gone,
    ]


def run(machine: Machine) -> None:
    """Before ZeroTier is started."""
    paths = machine.paths
    own = store.read_bytes(paths.zerotier_home / "identity.secret")
    machine.do(plan(store.read_bytes(paths.fat_identity), own, paths))
