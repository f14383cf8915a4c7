"""Step: the WAN. Which interface it is, and that it keeps its IPv6 while this machine forwards."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from .. import store, sysctl
from ..actions import Action, Command, SetSysctl, WriteFile
from ..errors import WaitingError, reading
from ..facts import delegation, wifi
from ..facts import wan as wan_facts
from ..facts.wan import Wan
from ..machine import Machine
from ..paths import Paths

# Sections and settings of systemd.network(5), as overlays/common has them in its own .network files.
# Linux forgets the router when it becomes one itself, unless told otherwise; networkd likewise. And it asks
# for a prefix to be delegated only where the router says that addresses come by DHCPv6: few do at home.
SETTINGS = (("Network", "IPv6AcceptRA", "yes"), ("IPv6AcceptRA", "DHCPv6Client", "always"))
NO_ADVERTISEMENTS = re.compile(r"IPv6AcceptRA\s*=\s*(no|n|false|f|off|0)", re.IGNORECASE)
FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
DROP_IN = "60-ztgate.conf"
AGAIN = 120.0  # seconds


def network_file(link: str) -> tuple[Path, ...]:
    """The .network file and its drop-ins, from networkd's state file of a link; () when it manages it not."""
    values = dict(line.split("=", 1) for line in link.splitlines() if "=" in line)
    if not values.get("NETWORK_FILE"):
        return ()
    drop_ins = values.get("NETWORK_FILE_DROPINS", "").strip('"')
    parts = [part for part in drop_ins.replace(":", " ").split() if part.startswith("/")]
    return (Path(values["NETWORK_FILE"].strip('"')), *map(Path, parts))


def undecided(texts: list[str]) -> str:
    """A drop-in with what none of these files sets; what one sets, either way, is somebody's decision."""
    lines = [line.strip() for text in texts for line in text.splitlines()]
    if any(NO_ADVERTISEMENTS.fullmatch(line) for line in lines):
        return ""
    return "".join(
        f"[{section}]\n{key}={value}\n"
        for section, key, value in SETTINGS
        if not any(line.startswith(key) for line in lines)
    )


def plan_router_advertisements(
    file: Path | None, missing: str, accept_ra: str, name: str, paths: Paths
) -> list[Action]:
    """file: the .network file of the interface, None when the kernel itself handles advertisements.

    missing: what the file and its drop-ins do not say.
    """
    if file is None:
        key = f"net/ipv6/conf/{name}/accept_ra"
        return [SetSysctl(key, "2", "keep the IPv6 router while forwarding")] if accept_ra == "1" else []
    if not missing:
        return []
    drop_in = paths.networkd_run / f"{file.name}.d" / DROP_IN
    return [
        WriteFile(drop_in, f"# By ztgate.\n{missing}".encode(), "IPv6 from the router while forwarding"),
        Command(("networkctl", "reload"), "networkd reads it"),
    ]


def run(machine: Machine) -> Wan:
    """Wait for nothing: WaitingError tells what the WAN still lacks."""
    wanted = dict.fromkeys(FORWARDING, "1")
    machine.mend(
        "forwarding", sysctl.plan(wanted, sysctl.read(machine.paths, list(wanted)), "forward packets")
    )
    try:
        wan = wan_facts.read(machine.run, lambda: wifi.states(machine.probe, machine.paths))
    except WaitingError:
        _not_stranded(machine)
        raise
    for name in wan.interfaces:
        _accept_advertisements(machine, name)
    delegated = delegation.read(machine.probe, wan.interface6) if wan.interface6 else ()
    return replace(wan, delegated=delegated)


def plan_default_route(stranded: str, since: float) -> list[Action]:
    """networkd does not put a route back that somebody has deleted, unless it is told to begin anew.

    since: seconds since that was tried last. A server that names no router will not name one more often.
    """
    if not stranded or since < AGAIN:
        return []
    return [Command(("networkctl", "reconfigure", stranded), "its default route is gone")]


def _not_stranded(machine: Machine) -> None:
    links, routes = (machine.run(argv) or "[]" for argv in wan_facts.LOOK4)
    with reading("what `ip` says of addresses and routes"):
        stranded = wan_facts.stranded(json.loads(links), json.loads(routes))
    mark = machine.paths.run_dir / "reconfigured"
    tried = float(store.read_text(mark) or -AGAIN)
    actions = plan_default_route(stranded, machine.clock.now() - tried)
    if machine.mend("wan-route", actions) and not machine.dry_run:
        store.write(mark, f"{machine.clock.now():.0f}".encode())


def _accept_advertisements(machine: Machine, name: str) -> None:
    paths = machine.paths
    index = (store.read_text(paths.interfaces / name / "ifindex") or "").strip()
    files = network_file(store.read_text(paths.netif_links / index) or "") if index else ()
    ours = paths.networkd_run / f"{files[0].name}.d" / DROP_IN if files else None
    texts = [store.read_text(file) or "" for file in (*files, ours) if file]
    key = f"net/ipv6/conf/{name}/accept_ra"
    accept_ra = sysctl.read(paths, [key])[key] or ""
    file = files[0] if files else None
    machine.do(plan_router_advertisements(file, undecided(texts), accept_ra, name, paths))
