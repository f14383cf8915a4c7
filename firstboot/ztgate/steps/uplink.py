"""Step: the WAN. Which interface it is, and that it keeps its IPv6 while this machine forwards."""

from __future__ import annotations

from pathlib import Path

from .. import store, sysctl
from ..actions import Action, Command, SetSysctl, WriteFile
from ..facts import wan as wan_facts
from ..facts import wifi
from ..facts.wan import Wan
from ..machine import Machine
from ..paths import Paths

# Linux forgets the router when it becomes one itself, unless told otherwise; networkd likewise.
ACCEPT_RA = b"# By ztgate: a router ignores advertisements by default.\n[Network]\nIPv6AcceptRA=yes\n"
FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
DROP_IN = "60-ztgate.conf"


def network_file(link: str) -> tuple[Path, ...]:
    """The .network file and its drop-ins, from networkd's state file of a link; () when it manages it not."""
    values = dict(line.split("=", 1) for line in link.splitlines() if "=" in line)
    if not values.get("NETWORK_FILE"):
        return ()
    drop_ins = values.get("NETWORK_FILE_DROPINS", "").strip('"')
    parts = [part for part in drop_ins.replace(":", " ").split() if part.startswith("/")]
    return (Path(values["NETWORK_FILE"].strip('"')), *map(Path, parts))


def says_accept_ra(texts: list[str]) -> bool:
    """Whether any of these files sets IPv6AcceptRA, either way: then it is somebody's decision."""
    return any(line.strip().startswith("IPv6AcceptRA") for text in texts for line in text.splitlines())


def plan_router_advertisements(
    file: Path | None, decided: bool, accept_ra: str, name: str, paths: Paths
) -> list[Action]:
    """file: the .network file of the interface, None when the kernel itself handles advertisements."""
    if file is None:
        key = f"net/ipv6/conf/{name}/accept_ra"
        return [SetSysctl(key, "2", "keep the IPv6 router while forwarding")] if accept_ra == "1" else []
    if decided:
        return []
    drop_in = paths.networkd_run / f"{file.name}.d" / DROP_IN
    return [
        WriteFile(drop_in, ACCEPT_RA, "keep the IPv6 router while forwarding"),
        Command(("networkctl", "reload"), "networkd reads it"),
    ]


def run(machine: Machine) -> Wan:
    """Wait for nothing: WaitingError tells what the WAN still lacks."""
    wanted = dict.fromkeys(FORWARDING, "1")
    machine.do(sysctl.plan(wanted, sysctl.read(machine.paths, list(wanted)), "forward packets"))
    wan = wan_facts.read(machine.run, lambda: wifi.states(machine.probe, machine.paths))
    for name in wan.interfaces:
        _accept_advertisements(machine, name)
    return wan


def _accept_advertisements(machine: Machine, name: str) -> None:
    paths = machine.paths
    index = (store.read_text(paths.interfaces / name / "ifindex") or "").strip()
    files = network_file(store.read_text(paths.netif_links / index) or "") if index else ()
    ours = paths.networkd_run / f"{files[0].name}.d" / DROP_IN if files else None
    texts = [store.read_text(file) or "" for file in (*files, ours) if file]
    key = f"net/ipv6/conf/{name}/accept_ra"
    accept_ra = sysctl.read(paths, [key])[key] or ""
    file = files[0] if files else None
    machine.do(plan_router_advertisements(file, says_accept_ra(texts), accept_ra, name, paths))
