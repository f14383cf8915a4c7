"""A minimal SNTP server (RFC 4330; packet of RFC 5905 section 7.3), whose clock may be wrong on purpose.

systemd-timesyncd takes a reply with version 3 or 4, mode 4, stratum 1 to 15, its own transmit time as
origin, a root distance (delay / 2 + dispersion) below 5 s, and from the very address that it asked.
"""

import argparse
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

from lab import httpd
from lab.errors import LabError

# Leap, version and mode; stratum; poll; precision; root delay; root dispersion; reference id;
# reference, origin, receive and transmit time.
PACKET = struct.Struct("!BBbbIIIQQQQ")
UNIX_EPOCH = 2_208_988_800  # in seconds since NTP's, 1900-01-01 (RFC 5905 figure 4)
CLIENT, SERVER = 3, 4  # modes
STRATUM = 2
PRECISION = -20  # of our clock: 2^-20 s
ROOT_DELAY, ROOT_DISPERSION = 66, 655  # 1 ms and 10 ms, in units of 2^-16 s
REFERENCE_ID = 0x7F7F0101  # 127.127.1.1: nobody's address, so that no client sees a loop
REFERENCE_AGE = 16.0  # seconds since our own clock was set, as it seems


def timestamp(unix: float) -> int:
    """A Unix time in NTP's 64 bits, of its present era or the next one.

    >>> hex(timestamp(0.5))
    '0x83aa7e8080000000'
    """
    return int((unix + UNIX_EPOCH) * (1 << 32)) & ((1 << 64) - 1)


def reply(query: bytes, now: float) -> bytes | None:
    """The answer to ``query`` at our time ``now``; None when it is no client's question."""
    if len(query) < PACKET.size:
        return None
    first, _, poll, *_, transmit = PACKET.unpack_from(query)
    version, mode = first >> 3 & 7, first & 7
    if mode != CLIENT or not 1 <= version <= 4:
        return None
    return PACKET.pack(
        version << 3 | SERVER, STRATUM, poll, PRECISION, ROOT_DELAY, ROOT_DISPERSION, REFERENCE_ID,
        timestamp(now - REFERENCE_AGE), transmit, timestamp(now), timestamp(now),
    )  # fmt: skip


class NtpServer:
    """`reply` behind a UDP port of both address families; its clock is ``offset`` seconds ahead."""

    def __init__(self, port: int = 123, *, offset: float = 0, log: Path | None = None) -> None:
        self.offset, self._log = offset, httpd.JsonLog(log)
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "NtpServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._log.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while all(key.fileobj is self._socket for key, _ in selector.select()):
                self._answer()

    def _answer(self) -> None:
        query, local, _, client = self._socket.recvmsg(512, socket.CMSG_SPACE(20))
        answer = reply(query, time.time() + self.offset)
        self._log.write(client=httpd.plain_address(client[0]), answered=answer is not None)
        if answer:
            try:
                # ``local`` has the address that was asked, and makes it the source of the answer.
                self._socket.sendmsg([answer], local, 0, client)
            except OSError as error:
                print(f"{client[0]}: {error}", file=sys.stderr)

    def run(self) -> None:
        """Serve as a process: say that it is ready, and go on until a signal ends it."""
        with self:
            print(f"ready ntp port={self.port}", flush=True)
            signal.pause()


def _listen(port: int) -> socket.socket:
    dual = socket.has_dualstack_ipv6()
    listener = socket.socket(socket.AF_INET6 if dual else socket.AF_INET, socket.SOCK_DGRAM)
    if dual:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    try:
        listener.bind(("::" if dual else "0.0.0.0", port))
    except OSError as error:
        raise LabError(f"cannot listen on UDP port {port}: {error.strerror}") from None
    return listener


def main(argv: list[str]) -> int:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="lab.ntp", description="A time server.")
    parser.add_argument("--port", type=int, default=123)
    parser.add_argument(
        "--offset", type=float, default=0.0, help="seconds that its clock is ahead (or -behind)"
    )
    parser.add_argument("--log", type=Path, help="append a JSON line for each question")
    args = parser.parse_args(argv)
    return httpd.main(lambda: NtpServer(args.port, offset=args.offset, log=args.log).run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
