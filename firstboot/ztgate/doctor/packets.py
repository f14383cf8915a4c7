"""Real packets: address translation, the internet, neighbour discovery, sizes, and members."""

from __future__ import annotations

from ipaddress import IPv6Network

from .. import derive, members_subnet
from ..facts import ipv6_probe
from ..steps.prove import TARGETS
from ..steps.proxy_ndp import UNIT
from ..zerotier import in_range
from .patient import Patient
from .probes import Egress, Neighbours, first_answer, neighbours, path_mtu
from .verdict import Result

# Bytes around an IP packet of the network: 38 of ZeroTier (1.14.1 was seen to put packets of up to 1394 into
# one UDP payload of 1432; larger ones it splits itself), then 28 of UDP and IPv4.
OVERHEAD, LARGEST = 66, 1460
LEAST_MTU = 1280  # that a network may have


def nat(patient: Patient) -> Result:
    """Members' packets leave with the WAN's address."""
    source = patient.config.ipv4.source
    return judge_nat(patient.egress(), {str(source)} if source else _wan_addresses(patient))


def _wan_addresses(patient: Patient) -> set[str]:
    name = patient.wan().interface
    (link,) = (row for row in patient.links() if row.get("ifname") == name)
    return {str(row.get("local")) for row in link["addr_info"] if row.get("family") == "inet"}


def judge_nat(seen: Egress, outside: set[str]) -> Result:
    """outside: the addresses to leave with."""
    if not seen.left:
        rules = f"ip route get {TARGETS[4][0]} from {seen.source}; nft list table inet ztgate"
        return False, f"nothing from {seen.source} was seen leaving on {seen.interface}", rules
    wrong = [pair for pair in seen.left if pair[0] not in outside]
    source, target = (wrong or list(seen.left))[0]
    evidence = f"{source} > {target} seen on {seen.interface}"
    if wrong:
        return False, f"{evidence}, should be from {' or '.join(sorted(outside))}", "ztgate apply"
    return True, f"{evidence} for {seen.source}", ""


def internet(patient: Patient) -> Result:
    """Somebody out there answers."""
    seen = patient.egress()
    if seen.answered:
        return True, f"{seen.answered} answers to {seen.source}", ""
    hosts = " or ".join(TARGETS[4])
    return False, f"no answer from {hosts} to {seen.source}", f"tcpdump -ni {seen.interface} icmp"


def ipv6(patient: Patient) -> Result:
    """The WAN has IPv6 that works, if members are to have any."""
    if patient.config.ipv6.mode == "off":
        return True, "switched off in gateway.yaml", ""
    seen, way = patient.wan(), patient.state.way
    here = way in (ipv6_probe.ROUTED, members_subnet.NAT66)  # not of a /64 on the WAN
    if not seen.prefixes and not here:
        needed = bool(patient.state.subnet) or patient.config.ipv6.mode in members_subnet.INSISTING
        reason = "has no IPv6 default route" if not seen.interface6 else "has no global /64"
        return not needed, f"the WAN {reason}: IPv4 only", "ask the provider for IPv6 with a /64"
    evidence = f"{way} {patient.state.subnet}".strip() if here else f"{seen.prefixes[0]} on {seen.interface6}"
    host = first_answer(patient.probe, TARGETS[6])
    if host:
        return True, f"{evidence}, {host} answers", ""
    announced = any(route.startswith("::/0") for route in patient.state.routes)
    step = f"ip -6 route; tcpdump -ni {seen.interface6} icmp6"
    return not announced, f"{evidence}, but {' and '.join(TARGETS[6])} do not answer", step


def ndp(patient: Patient) -> Result:
    """The WAN's router finds members' addresses here."""
    if patient.state.way != ipv6_probe.ON_LINK:
        return True, f"not needed: members' IPv6 is {patient.state.way or 'not set up'}", ""
    interface, subnet = patient.wan().interface6, IPv6Network(patient.state.subnet)
    wanted = derive.member_address(subnet, str(patient.status()["address"]))
    proxies = [str(row.get("dst")) for row in patient.rows("-6", "neigh", "show", "proxy", "dev", interface)]
    if str(wanted) not in proxies:
        return False, f"the kernel does not answer for {wanted} on {interface}", "ztgate apply"
    if patient.probe("systemctl", "is-active", "--quiet", UNIT)[0] != 0:
        return False, f"{len(proxies)} addresses in the kernel, but ndppd is down", "ztgate apply"
    own = in_range(patient.network(), subnet)
    if not own:
        return False, f"no address of {subnet}", "look at this member at the controller; is allowGlobal on?"
    return judge_ndp(neighbours(patient.probe, interface, str(own[0].ip)), interface)


def judge_ndp(seen: Neighbours, interface: str) -> Result:
    """A reply that nobody asked for an address for comes by the router's memory, or the range is routed."""
    asked = f"{seen.asker} asked for {seen.own} on {interface}"
    step = f"tcpdump -ni {interface} icmp6"
    if seen.replied:
        unasked = f"replies to {seen.own} arrive: the router knows where it is"
        return True, f"{asked} and was answered" if seen.asker and seen.advertised else unasked, ""
    if not seen.asker:
        return False, f"no reply to {seen.own}, and nobody on {interface} asked where it is", step
    if not seen.advertised:
        return False, f"{asked} and got no answer", "ztgate apply; journalctl -u ztgate-ndppd"
    return False, f"{asked} and was answered, yet no reply came", f"{step}; does the provider allow a /64?"


def mtu(patient: Patient) -> Result:
    """Members' packets fit into single packets on the WAN."""
    host = patient.egress().answered
    if not host:
        return False, "nobody answers, so it cannot be tried", "mend internet first"
    return judge_mtu(path_mtu(patient.probe, host), patient.network().mtu)


def judge_mtu(path: int, network: int) -> Result:
    """path: bytes that pass unfragmented; network: the MTU of the ZeroTier network."""
    needed = min(network + OVERHEAD, LARGEST)
    evidence = f"{path} bytes pass on the WAN, ZeroTier sends up to {needed} for the network's MTU {network}"
    if path >= needed:
        return True, evidence, ""
    if path - OVERHEAD >= LEAST_MTU:
        step = f"gateway.mtu: {path - OVERHEAD} in gateway.yaml, then ztgate register --token-file FILE"
        return False, evidence, step
    return False, evidence, f"even an MTU of {LEAST_MTU} is too large for that: why is the path so narrow?"


def token(patient: Patient) -> Result:
    """The controller's token is where it should be."""
    wish, present = patient.config.controller.token_after_setup, bool(patient.config.controller.token)
    if present and wish == "discard":
        return False, "still in gateway.yaml: setting up is not finished", "ztgate apply"
    return True, "kept, as configured" if present else "not on this machine", ""
