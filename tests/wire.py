"""The end of a cable in a namespace, for frames as they are: sent by the byte, seen before any firewall."""

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.netns import Namespace

EVERYTHING = 3  # ETH_P_ALL
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
FORCED_BUFFER = 33  # SO_RCVBUFFORCE; Python has no name for it
BUFFER = 64 << 20  # bytes: answers of a whole scan
LIBC = ctypes.CDLL(None, use_errno=True)


class Wire:
    """A packet socket on a device of a namespace."""

    def __init__(self, host: Namespace, device: str) -> None:
        self.host, self.device = host, device
        with within(host):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, FORCED_BUFFER, BUFFER)
        self._socket.bind((device, EVERYTHING))
        self.mac = ":".join(f"{octet:02x}" for octet in self._socket.getsockname()[4])

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def bypass(self) -> None:
        """Send past the queue: a packet is on its way when send() returns."""
        self._socket.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS

    def send(self, frame: bytes) -> None:
        """Put a frame on the cable."""
        self._socket.send(frame)

    def heard(self, seconds: float, outgoing: bool = False) -> Iterator[bytes]:
        """What comes in for so long; with 0 what is there already. outgoing: and what the host sends."""
        until = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(until - time.monotonic(), 0.0001))
            try:
                frame, origin = self._socket.recvfrom(65535)
            except TimeoutError:
                return
            if outgoing or origin[2] != socket.PACKET_OUTGOING:
                yield frame
            if seconds and time.monotonic() > until:
                return

    def lost(self) -> int:
        """How many frames did not fit into the socket's buffer since this was asked last."""
        _, dropped = struct.unpack("II", self._socket.getsockopt(263, 6, 8))  # SOL_PACKET, PACKET_STATISTICS
        return int(dropped)


def mac_of(host: Namespace, device: str) -> str:
    """A device's MAC address, as the kernel has it."""
    return host.run("cat", Path("/sys/class/net") / device / "address").strip()


@contextmanager
def within(host: Namespace) -> Iterator[None]:
    """Sockets that are made in it are the host's, for good."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/run/netns/{host.name}", os.O_RDONLY)
    try:
        _enter(theirs)
        yield
    finally:
        _enter(own)
        os.close(own)
        os.close(theirs)


def _enter(namespace: int) -> None:
    if LIBC.setns(namespace, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")
