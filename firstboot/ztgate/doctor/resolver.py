"""Members' resolver: asked on its own address, as members ask it."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from .. import names
from ..steps import serve_dns
from .patient import Patient
from .verdict import Result

# IANA's, and signed; and one whose signatures are wrong on purpose, for tests like this (by Comcast).
GOOD, BOGUS = "example.com", "dnssec-failed.org"
A, IN = 1, 1
RECURSION, AUTHENTIC, CODE = 0x0100, 0x0020, 0x000F  # bits of the header's flags: RD, AD, RCODE
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
NO_ANSWER = "no answer"
PATIENCE = 4.0  # seconds; each question is put twice


@dataclass(frozen=True)
class Reply:
    """Its response code by name, whether it was validated, and the address in the last record."""

    code: str
    validated: bool = False
    address: str = ""


Ask = Callable[[str], Reply]


def resolver(patient: Patient) -> Result:
    """It finds names outside, refuses what is signed wrongly, and knows this gateway's own name."""
    settings = patient.config.dns
    if settings is None:
        return True, "off, as gateway.yaml says", ""
    network, node = patient.network(), str(patient.status()["address"])
    own = f"{node}.{names.domain(settings)}"
    servers = serve_dns.servers(network.id, node, patient.state)
    for server in servers:
        verdict = judge(lambda name, server=server: ask(server, name), server, own, patient.state.address)  # type: ignore[misc]
        if not verdict[0]:
            return verdict
    return True, f"{' and '.join(servers)}: {GOOD} validated, {BOGUS} refused, {own} known", ""


def judge(answer: Ask, server: str, own: str, address: str) -> Result:
    """What one of its addresses answers to three questions."""
    journal = f"journalctl -u {serve_dns.UNIT}"
    ours = answer(own)
    if ours.code == NO_ANSWER:
        return False, f"{server} does not answer on port 53", f"systemctl status {serve_dns.UNIT}; {journal}"
    if ours.address != address:
        found = ours.address or ours.code
        return False, f"{server} says that {own} is {found}, and not {address}", "ztgate apply"
    good = answer(GOOD)
    if good.code != "NOERROR":
        hint = "port 53 to the internet may be blocked here: try dns.upstream: wan"
        return False, f"{server} finds no {GOOD}: {good.code}", f"{hint}; {journal}"
    if not good.validated:
        return False, f"{server} says nothing of {GOOD}'s signature", f"dns.upstream: recursive; {journal}"
    if answer(BOGUS).address:
        return False, f"{server} believes {BOGUS}'s wrong signature", f"dns.upstream: recursive; {journal}"
    return True, "", ""


def ask(server: str, name: str) -> Reply:
    """Put a question by UDP, a second time if need be."""
    number = secrets.randbelow(1 << 16)
    sent = question(number, name)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.settimeout(PATIENCE)
        for _ in range(2):
            try:
                channel.connect((server, 53))
                channel.send(sent)
                return read(number, channel.recv(4096))
            except (OSError, ValueError):
                continue
    return Reply(NO_ANSWER)


def question(number: int, name: str) -> bytes:
    """An A record of a name is asked for, and whether it was validated (RFC 1035, RFC 6840 5.7)."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    header = struct.pack(">6H", number, RECURSION | AUTHENTIC, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">2H", A, IN)


def read(number: int, packet: bytes) -> Reply:
    """The answer; no more of it is looked at than is needed. ValueError if it is to another question."""
    if len(packet) < 12:
        raise ValueError("too short for an answer")
    got, flags, _, answers, authorities, additional = struct.unpack_from(">6H", packet)
    if got != number:
        raise ValueError("to another question")
    code = CODES.get(flags & CODE, f"code {flags & CODE}")
    # The packet ends with the address, if there is nothing behind the answers.
    address = str(IPv4Address(packet[-4:])) if answers and not authorities and not additional else ""
    return Reply(code, bool(flags & AUTHENTIC), address or ("an answer" if answers else ""))
