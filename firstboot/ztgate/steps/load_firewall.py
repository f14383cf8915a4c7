"""Step: the firewall fits the configuration and the situation."""

from __future__ import annotations

from .. import firewall, store
from ..actions import Action, Command, WriteFile
from ..config import Config
from ..errors import ZtgateError
from ..firewall import Situation
from ..machine import Machine
from ..paths import Paths


def plan(text: str, paths: Paths) -> list[Action]:
    """Check, save for the next boot, load: in this order, so that a bad text changes nothing."""
    return [
        Command(("nft", "-c", "-f", "-"), "check the firewall", stdin=text),
        WriteFile(paths.nftables, text.encode(), "firewall for the next boot", 0o600),
        Command(("nft", "-f", "-"), "load the firewall", stdin=text),
    ]


def run(machine: Machine, config: Config, situation: Situation) -> None:
    """Load and save the firewall unless this very revision is both."""
    values = firewall.inputs(config, situation)
    revision = firewall.revision(values)
    status, _ = machine.probe(("nft", "list", "chain", "inet", "ztgate", f"rev_{revision}"))
    if status == 127:
        raise ZtgateError("nft is not installed", "apt install nftables")
    saved = store.read_text(machine.paths.nftables) or ""
    if status != 0 or f"rev_{revision}" not in saved:
        machine.do(plan(firewall.render(values), machine.paths))
