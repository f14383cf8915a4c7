"""Step: ZeroTier runs, with the private roots that the configuration names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .. import formats
from ..actions import Action, CallService, Command, WriteFile
from ..config import ZeroTier
from ..errors import ZtgateError
from ..facts import tun
from ..machine import Machine
from ..state import State

# World types, ZeroTierOne node/World.hpp: one byte, then the id in 8.
PLANET, MOON = 1, 127
LOCAL_CONF = {
    "settings": {
        "portMappingEnabled": False,
        "softwareUpdate": "disable",
        # ZeroTier over another VPN or a container bridge makes paths flap.
        "interfacePrefixBlacklist": ["docker", "veth", "br-", "wg", "tailscale"],
    }
}
UNIT = "zerotier-one.service"
PATIENCE = 60.0  # seconds for the service to answer


def moon_id(content: bytes) -> str | None:
    """World id of a moon file, 10 digits: from its header, or from its JSON when it is a stand-in's."""
    if len(content) > 9 and content[0] == MOON:
        return content[1:9].hex()[-10:]
    try:
        data = json.loads(content)
    except ValueError:
        return None
    identifier = str(data.get("id", "")) if isinstance(data, dict) else ""
    return identifier[-10:].lower() if formats.WORLD_ID.fullmatch(identifier[-10:]) else None


def root_files(settings: ZeroTier) -> dict[str, bytes]:
    """Files below ZeroTier's home that the configuration asks for."""
    files: dict[str, bytes] = {}
    for number, text in enumerate(settings.moons):
        content = None if formats.WORLD_ID.fullmatch(text) else formats.from_base64(text)
        if content is None:
            continue
        identifier = moon_id(content)
        if identifier is None:
            raise ZtgateError(
                f"zerotier.moons[{number}] is base64, but not of a .moon file", "base64 -w0 000000<id>.moon"
            )
        files[f"moons.d/000000{identifier}.moon"] = content
    if settings.planet:
        files["planet"] = formats.from_base64(settings.planet) or b""
    return files


def plan_files(
    files: dict[str, bytes], present: set[str], written: dict[str, str], home: Path
) -> list[Action]:
    """Write what is missing or configured anew. ZeroTier itself may update these files: no difference."""
    actions: list[Action] = []
    for name, content in files.items():
        if name not in present or written.get(name) != _digest(content):
            actions.append(WriteFile(home / name, content, "ZeroTier's roots"))
    if "local.conf" not in present:
        text = json.dumps(LOCAL_CONF, indent=1) + "\n"
        actions.append(WriteFile(home / "local.conf", text.encode(), "ZeroTier's settings"))
    if actions:
        actions.append(Command(("systemctl", "restart", UNIT), "ZeroTier reads its files"))
    return actions


def plan_orbits(settings: ZeroTier, orbiting: tuple[str, ...]) -> list[Action]:
    """Moons that are named by their id."""
    ids = [text.lower() for text in settings.moons if formats.WORLD_ID.fullmatch(text)]
    return [
        CallService(f"/moon/{world}", {"seed": world}, "orbit a moon")
        for world in ids
        if world not in orbiting
    ]


def plan_start(active: bool) -> list[Action]:
    """Not every package enables its service, and somebody may have stopped it."""
    return [] if active else [Command(("systemctl", "start", UNIT), "ZeroTier is not running")]


def plan_keeping(node: str, registered: str) -> list[Action]:
    """An identity that the controller does not know yet goes to the disk first.

    ZeroTier leaves that to the kernel, which takes half a minute. A power cut in that time would cost the
    identity, but not the state that tells us that it is registered; the token would be gone by then.
    """
    return [] if node == registered else [Command(("sync",), "keep ZeroTier's identity over a power cut")]


def run(machine: Machine, settings: ZeroTier, state: State) -> tuple[str, State]:
    """The node id, and the state with what was written."""
    problem = tun.problem(machine.paths.tun)
    if problem:
        raise ZtgateError(f"ZeroTier cannot make its network device: {problem[0]}", problem[1])
    home = machine.paths.zerotier_home
    files = root_files(settings)
    present = {name for name in (*files, "local.conf") if (home / name).exists()}
    machine.do(plan_files(files, present, state.written, home))
    written = {name: _digest(content) for name, content in files.items()}
    active = machine.probe(("systemctl", "is-active", "--quiet", UNIT))[0] == 0
    machine.mend("zerotier-one", plan_start(active))
    node = machine.wait(machine.service.node, PATIENCE)
    machine.do(plan_keeping(node, str(state.registered.get("node", ""))))
    if any(formats.WORLD_ID.fullmatch(text) for text in settings.moons):
        machine.do(plan_orbits(settings, machine.service.moons()))
    return node, state.but(written=written)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
