"""Step: a copy of this node's identity, once the controller knows it.

ZeroTier does not start with a damaged identity, and makes itself another one where it is gone. The copy comes
back before that (overlays/common/usr/libexec/ztgate-identity).
"""

from __future__ import annotations

from .. import formats, store
from ..actions import Action, WriteFile
from ..machine import Machine
from ..paths import Paths


def plan(own: bytes | None, kept: bytes | None, node: str, paths: Paths) -> list[Action]:
    """Only of a whole identity, and only of the one that was registered."""
    text = (own or b"").decode("ascii", "replace").strip()
    content = f"{text}\n".encode()
    if content == kept or not text.startswith(f"{node}:") or not formats.IDENTITY.fullmatch(text):
        return []
    return [WriteFile(paths.kept_identity, content, "a copy of this node's identity", 0o600, vital=False)]


def run(machine: Machine, node: str) -> None:
    """After the node is registered."""
    paths = machine.paths
    own = store.read_bytes(paths.zerotier_home / "identity.secret")
    machine.do(plan(own, store.read_bytes(paths.kept_identity), node, paths))
