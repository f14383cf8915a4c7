"""`ztgate doctor`: the whole chain from the cable to members' packets, link by link."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Network
from urllib.parse import urlsplit

from . import configfile, derive, firewall, members_subnet, state, store
from .config import Config
from .errors import ZtgateError
from .facts import ipv6_probe, time, tun, wan, wifi
from .machine import Machine
from .state import State
from .zerotier import Network

Result = tuple[bool, str, str]


@dataclass(frozen=True)
class Verdict:
    """One link of the chain: evidence is what was seen, next_step what to do when it is broken."""

    name: str
    ok: bool
    evidence: str
    next_step: str = ""


@dataclass
class Patient:
    """What the checks look at."""

    machine: Machine
    config: Config
    state: State

    def network(self) -> Network:
        """The joined network; ZtgateError when it is not."""
        found = self.machine.service.network(self.config.network)
        if found is None:
            raise ZtgateError(f"network {self.config.network} is not joined", "ztgate apply")
        return found

    def wan(self) -> wan.Wan:
        """The WAN; WaitingError says what it lacks."""
        return wan.read(self.machine.run, lambda: wifi.states(self.machine.probe, self.machine.paths))


def examine(machine: Machine) -> list[Verdict]:
    """Every verdict, in the order in which links depend on each other."""
    try:
        found = configfile.find(machine.paths)
    except ZtgateError as error:
        return [Verdict("configuration", False, error.message, error.hint)]
    patient = Patient(machine, found.config, state.load(machine.paths))
    verdicts = [Verdict("configuration", True, str(found.path))]
    for name, check in CHECKS:
        verdicts.append(_run(name, check, patient))
    return verdicts


def text(verdicts: list[Verdict]) -> str:
    """One line each; the first broken link comes first of all, as the others often follow from it."""
    broken = [verdict for verdict in verdicts if not verdict.ok]
    lines = [
        "All links hold." if not broken else f"First broken link: {broken[0].name}: {broken[0].evidence}"
    ]
    if broken and broken[0].next_step:
        lines.append(f"  next: {broken[0].next_step}")
    for verdict in verdicts:
        lines.append(f"{'ok    ' if verdict.ok else 'BROKEN'} {verdict.name:<16} {verdict.evidence}")
        if not verdict.ok and verdict.next_step:
            lines.append(f"{'':24}next: {verdict.next_step}")
    return "\n".join(lines) + "\n"


def _run(name: str, check: Callable[[Patient], Result], patient: Patient) -> Verdict:
    try:
        return Verdict(name, *check(patient))
    except ZtgateError as error:
        return Verdict(name, False, error.message, error.hint)
    except (OSError, ValueError, KeyError) as error:
        return Verdict(name, False, f"cannot be examined: {type(error).__name__} {error}")


def _link(patient: Patient) -> Result:
    seen = patient.wan()
    return True, f"{seen.interface} has {seen.address}/{seen.network.prefixlen} and a default route", ""


def _router(patient: Patient) -> Result:
    rows = json.loads(patient.machine.run(("ip", "-j", "-4", "route", "show", "default")) or "[]")
    gateway = next((str(row["gateway"]) for row in rows if "gateway" in row), "")
    status, _ = patient.machine.probe(("ping", "-n", "-q", "-c", "1", "-W", "2", gateway or "127.0.0.1"))
    answers = "answers" if status == 0 else "does not answer pings (some never do)"
    return True, f"{gateway or 'on-link'} {answers}", ""


def _clock(patient: Patient) -> Result:
    usable, reason = time.read(patient.machine.paths).verdict
    return usable, reason, "timedatectl timesync-status"


def _dns(patient: Patient) -> Result:
    host = urlsplit(patient.config.controller.url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False, f"{host} cannot be resolved", "resolvectl status; resolvectl query " + host
    return True, f"{host} is {found[0][4][0]}", ""


def _tun(patient: Patient) -> Result:
    problem = tun.problem(patient.machine.paths.tun)
    return (False, *problem) if problem else (True, str(patient.machine.paths.tun), "")


def _zerotier(patient: Patient) -> Result:
    status = patient.machine.service.status()
    online = bool(status.get("online"))
    evidence = (
        f"node {status['address']}, version {status.get('version')}, {'online' if online else 'OFFLINE'}"
    )
    return online, evidence, "no root server is reached: is UDP 9993 let out? tcpdump -ni any udp port 9993"


def _membership(patient: Patient) -> Result:
    network = patient.network()
    return network.status == "OK", f"{network.id} on {network.interface}: {network.status}", "ztgate apply"


def _mac(patient: Patient) -> Result:
    """Members work out the MAC address from the node's; the device must have that one."""
    network = patient.network()
    rows = json.loads(patient.machine.run(("ip", "-j", "link", "show", "dev", network.interface)) or "[]")
    found = str(rows[0]["address"]) if rows else "none"
    evidence = f"{network.interface} has {found}, ZeroTier gave {network.mac}"
    return found == network.mac, evidence, "systemctl restart zerotier-one"


def _addresses(patient: Patient) -> Result:
    network = patient.network()
    listed = ", ".join(map(str, (*network.addresses4, *network.addresses6)))
    wanted = patient.state.address
    ok = any(str(address.ip) == wanted for address in network.addresses4)
    return ok, listed or "none", f"expected {wanted or 'one'}: look at the member at the controller"


def _published(patient: Patient) -> Result:
    routes = patient.network().routes
    shown = [f"{target} via {via}" for target, via in routes if target in ("0.0.0.0/0", "::/0") and via]
    ok = f"0.0.0.0/0 via {patient.state.address}" in shown
    return ok, ", ".join(shown) or "no default route is published", "ztgate apply"


def _kernel_routes(patient: Patient) -> Result:
    network = patient.network()
    rows = json.loads(
        patient.machine.run(("ip", "-j", "-4", "route", "show", "dev", network.interface)) or "[]"
    )
    rows += json.loads(
        patient.machine.run(("ip", "-j", "-6", "route", "show", "dev", network.interface)) or "[]"
    )
    present = {str(row.get("dst")) for row in rows}
    missing = [target for target, via in network.routes if not via and target not in present]
    evidence = f"missing: {', '.join(missing)}" if missing else f"members' ranges are on {network.interface}"
    return not missing, evidence, "systemctl restart zerotier-one, then ztgate apply"


def _forwarding(patient: Patient) -> Result:
    keys = {"net/ipv4/ip_forward": "IPv4", "net/ipv6/conf/all/forwarding": "IPv6"}
    off = [
        name
        for key, name in keys.items()
        if (store.read_text(patient.machine.paths.sysctl / key) or "0").strip() == "0"
    ]
    return not off, f"off for {', '.join(off)}" if off else "on for IPv4 and IPv6", "ztgate apply"


def _firewall(patient: Patient) -> Result:
    situation = firewall.remembered(patient.state.situation)
    revision = firewall.revision(firewall.inputs(patient.config, situation))
    status, output = patient.machine.probe(("nft", "list", "table", "inet", "ztgate"))
    if status != 0:
        return False, "table inet ztgate is not loaded", "systemctl restart nftables, then ztgate apply"
    if f"rev_{revision}" not in output:
        return False, "another revision than gateway.yaml asks for is loaded", "ztgate apply"
    return True, f"revision {revision}", ""


def _nat(patient: Patient) -> Result:
    _, output = patient.machine.probe(("nft", "list", "chain", "inet", "ztgate", "postrouting"))
    rules = [line.strip() for line in output.splitlines() if "masquerade" in line or "snat" in line]
    return bool(rules), rules[0] if rules else "no address translation", "ztgate apply"


def _ipv6(patient: Patient) -> Result:
    if patient.config.ipv6.mode == "off":
        return True, "switched off in gateway.yaml", ""
    if patient.state.way in (ipv6_probe.ROUTED, members_subnet.NAT66):
        return True, f"{patient.state.way} {patient.state.subnet}".strip(), ""
    seen = patient.wan()
    if not seen.prefixes:
        ok = patient.config.ipv6.mode == "auto"
        return ok, "the WAN has no global /64: IPv4 only", "ask the provider for IPv6 with a /64"
    return True, f"{seen.prefixes[0]} on {seen.interface6}", ""


def _ndp(patient: Patient) -> Result:
    if patient.state.way != ipv6_probe.ON_LINK:
        return True, f"not needed: members' IPv6 is {patient.state.way or 'not set up'}", ""
    seen, subnet = patient.wan(), IPv6Network(patient.state.subnet)
    own = derive.member_address(subnet, patient.machine.service.node())
    _, output = patient.machine.probe(("ip", "-6", "neigh", "show", "proxy", "dev", seen.interface6))
    if str(own) not in output:
        return False, f"the kernel does not answer for {own} on {seen.interface6}", "ztgate apply"
    active = patient.machine.probe(("systemctl", "is-active", "--quiet", "ztgate-ndppd.service"))[0] == 0
    count = len(output.split("\n")) - 1
    return active, f"{count} addresses in the kernel, ndppd {'runs' if active else 'is down'}", "ztgate apply"


def _internet(patient: Patient) -> Result:
    argv = ("ping", "-4", "-n", "-q", "-c", "1", "-W", "2", "-I", patient.state.address or "0.0.0.0")
    for host in ("9.9.9.9", "1.1.1.1"):
        if patient.machine.probe((*argv, host))[0] == 0:
            return True, f"{host} answers to {patient.state.address}", ""
    return False, f"nobody answers to {patient.state.address}", f"tcpdump -ni {patient.wan().interface} icmp"


def _token(patient: Patient) -> Result:
    wish, present = patient.config.controller.token_after_setup, bool(patient.config.controller.token)
    if present and wish == "discard":
        return False, "still in gateway.yaml: setting up is not finished", "ztgate apply"
    return True, "kept, as configured" if present else "not on this machine", ""


CHECKS: tuple[tuple[str, Callable[[Patient], Result]], ...] = (
    ("wan", _link),
    ("router", _router),
    ("clock", _clock),
    ("dns", _dns),
    ("tun", _tun),
    ("zerotier", _zerotier),
    ("membership", _membership),
    ("mac", _mac),
    ("addresses", _addresses),
    ("default routes", _published),
    ("kernel routes", _kernel_routes),
    ("forwarding", _forwarding),
    ("firewall", _firewall),
    ("nat", _nat),
    ("internet", _internet),
    ("ipv6", _ipv6),
    ("ndp proxy", _ndp),
    ("token", _token),
)
