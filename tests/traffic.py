"""Constant traffic past a gateway, and an account of what of it came through."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.wire import Wire

MARK = b"ztgate-traffic:"
PAUSE = 0.01  # seconds between two rounds


@dataclass(frozen=True)
class Stream:
    """Packets of one kind, sent on a cable by who has a MAC address to another one."""

    name: str
    wire: Wire
    to: str
    source: str
    target: str

    def frame(self) -> bytes:
        """One of them."""
        kind = IPv6 if ":" in self.target else IP
        head = Ether(src=self.wire.mac, dst=self.to) / kind(src=self.source, dst=self.target)
        return bytes(head / UDP(sport=40003, dport=40004) / Raw(MARK + self.name.encode()))


@dataclass
class Account:
    """Who was seen where: a stream's name, a cable's device, and the source address that it had there.

    rounds: how many packets of each stream were sent.
    """

    seen: dict[tuple[str, str, str], int] = field(default_factory=dict)
    rounds: int = 0


class Traffic:
    """Sends streams on and on, and looks at what a gateway with one of these MAC addresses puts on cables."""

    def __init__(self, streams: Sequence[Stream], ears: Sequence[Wire], gateway: Sequence[str]) -> None:
        self.account = Account()
        self._frames = [(stream.wire, stream.frame()) for stream in streams]
        self._gateway = set(gateway)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True)]
        self._threads += [threading.Thread(target=self._listen, args=(ear,), daemon=True) for ear in ears]

    def __enter__(self) -> Account:
        for thread in self._threads:
            thread.start()
        return self.account

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._over.wait(PAUSE):
            for wire, frame in self._frames:
                wire.send(frame)
            self.account.rounds += 1

    def _listen(self, ear: Wire) -> None:
        while not self._over.is_set():
            for frame in ear.heard(1):
                self._note(Ether(frame) if MARK in frame else None, ear)

    def _note(self, packet: Packet | None, ear: Wire) -> None:
        # What quotes one of ours is a refusal of it.
        if packet is None or packet.src not in self._gateway or UDP not in packet:
            return
        content, head = bytes(packet[UDP].payload), packet[IPv6 if IPv6 in packet else IP]
        if content.startswith(MARK):
            key = (content.removeprefix(MARK).decode(), ear.device, str(head.src))
            self.account.seen[key] = self.account.seen.get(key, 0) + 1
