"""Step: who may log in. First of all, so that one can look when a later step fails."""

from __future__ import annotations

from .. import store
from ..actions import Action, write_if_changed
from ..config import Ssh
from ..machine import Machine
from ..paths import Paths


def plan(ssh: Ssh, current: bytes | None, paths: Paths) -> list[Action]:
    """The file that sshd reads beside ~/.ssh/authorized_keys."""
    wanted = "".join(f"{key}\n" for key in ssh.authorized_keys).encode()
    return write_if_changed(paths.authorized_keys, wanted, current or b"", "SSH keys of root", 0o600)


def run(machine: Machine, ssh: Ssh) -> None:
    """Install the configured keys and no others."""
    machine.do(plan(ssh, store.read_bytes(machine.paths.authorized_keys), machine.paths))
