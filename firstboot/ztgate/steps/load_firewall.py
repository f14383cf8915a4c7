"""Step: the firewall fits the configuration and the situation."""

from __future__ import annotations

import hashlib

from .. import firewall, store
from ..actions import Action, Command, WriteFile
from ..config import Config
from ..errors import ZtgateError
from ..firewall import Situation
from ..machine import Machine
from ..paths import Paths

LOOK = ("nft", "-s", "-t", "list", "table", "inet", "ztgate")


def plan(text: str, paths: Paths) -> list[Action]:
    """Load, then save for the next boot: the kernel takes a text whole or not at all.

    On a disk that takes nothing any more the rules of now count more than those of the next boot.
    """
    return [
        Command(("nft", "-f", "-"), "load the firewall", stdin=text),
        WriteFile(paths.nftables, text.encode(), "firewall for the next boot", 0o600, vital=False),
    ]


def fingerprint(listing: str) -> str:
    """Of what `nft` shows of our table; overlays/common/usr/libexec/ztgate-rules takes the same."""
    return hashlib.sha256(listing.encode()).hexdigest()


def run(machine: Machine, config: Config, situation: Situation) -> None:
    """Load and save the firewall unless this very revision is both, and is there to its last rule."""
    values, paths = firewall.inputs(config, situation), machine.paths
    name = f"rev_{firewall.revision(values)}"
    status, listing = machine.probe(LOOK)
    if status == 127:
        raise ZtgateError("nft is not installed", "apt install nftables")
    noted = (store.read_text(paths.loaded_rules) or "").strip()
    whole = status == 0 and name in listing and noted == fingerprint(listing)
    saved = name in (store.read_text(paths.nftables) or "")
    if whole and saved:
        return
    # The right ones were loaded, and somebody has had a hand in them.
    machine.mend("rules" if saved and noted and not whole else "", plan(firewall.render(values), paths))
    if not machine.dry_run:
        store.write(paths.loaded_rules, fingerprint(machine.run(LOOK)).encode())
