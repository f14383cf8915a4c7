import json
import socket
import struct
import time
from pathlib import Path

import pytest

from lab import ntp

# What systemd-timesyncd sends: version 4, mode 3, everything else 0 but the transmit time.
TRANSMIT = 0x1122334455667788
QUERY = bytes([4 << 3 | 3]) + bytes(39) + struct.pack("!Q", TRANSMIT)


def exchange(port: int, query: bytes, host: str = "127.0.0.1") -> bytes:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((host, port))  # only an answer from the address that was asked gets through
        client.send(query)
        return client.recv(512)


# Any of 127.0.0.0/8 is ours, but only 127.0.0.1 is the source that the kernel would choose.
@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_a_client_can_use_the_answer(host: str) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with ntp.NtpServer(0) as server:
        answer = exchange(server.port, QUERY, host)
    first, stratum, _, _, delay, dispersion, _, reference, origin, received, transmitted = ntp.PACKET.unpack(
        answer
    )
    assert len(answer) == 48
    assert (first >> 6, first >> 3 & 7, first & 7) == (0, 4, 4)
    assert 1 <= stratum < 16
    assert (delay / 2 + dispersion) / 65536 < 0.1
    assert origin == TRANSMIT
    assert reference < received <= transmitted
    assert abs(transmitted / 2**32 - ntp.UNIX_EPOCH - time.time()) < 5


def test_the_clock_can_be_wrong() -> None:
    with ntp.NtpServer(0, offset=-86400) as server:
        answer = exchange(server.port, QUERY)
    shown = ntp.PACKET.unpack(answer)[-1] / 2**32 - ntp.UNIX_EPOCH
    assert shown - time.time() == pytest.approx(-86400, abs=5)


@pytest.mark.parametrize(
    ("unix", "expected"),
    [
        (0.5, 0x83AA7E80_80000000),
        (2**32 - ntp.UNIX_EPOCH + 1.0, 0x00000001_00000000),  # 2036-02-07: the next era begins
    ],
)
def test_timestamps(unix: float, expected: int) -> None:
    assert ntp.timestamp(unix) == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        QUERY[:47],
        bytes([4 << 3 | 4]) + QUERY[1:],
        bytes([4 << 3 | 6]) + QUERY[1:],
        bytes([3]) + QUERY[1:],
    ],
    ids=["empty", "short", "an answer", "a control message", "version 0"],
)
def test_what_is_no_question_gets_no_answer(packet: bytes) -> None:
    assert ntp.reply(packet, 1.8e9) is None


def test_logs_questions(tmp_path: Path) -> None:
    with ntp.NtpServer(0, log=tmp_path / "log") as server:
        exchange(server.port, QUERY)
    entry = json.loads((tmp_path / "log").read_text())
    assert (entry["client"], entry["answered"]) == ("127.0.0.1", True)
