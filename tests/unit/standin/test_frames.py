"""The data path: which frames go where, and which go nowhere."""

import struct
from typing import Any

import pytest

from lab.standin.zerotier_one_standin import config, derive, neighbours, network, wire
from lab.standin.zerotier_one_standin.home import NetworkSettings
from lab.standin.zerotier_one_standin.network import Group, Network
from lab.standin.zerotier_one_standin.peers import Path
from lab.standin.zerotier_one_standin.switch import Message, Switch
from tests.unit.standin.conftest import FakeKernel, FakeTap

NWID, OWN, OTHER, STRANGER = 0x116BE780B4870839, 0x54F03B7F83, 0x116BE780B4, 0x2233445566
KEY = bytes(range(16))
OWN_MAC, OTHER_MAC = derive.mac(NWID, OWN), derive.mac(NWID, OTHER)
OFFLOAD = bytes(range(10))  # what the tap says about checksums and segments goes along unread
PAYLOAD = b"\x08\x00" + b"x" * 60


class FakeSocket:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.waiting: list[bytes] = []

    def sendto(self, data: bytes, where: Any) -> int:
        self.sent.append(data)
        return len(data)

    def recvfrom(self, size: int, flags: int) -> tuple[bytes, Any]:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0), ("192.0.2.1", 9993)


class FakeLink:
    def __init__(self) -> None:
        self.socket = FakeSocket()


class FakeRouter:
    """Sends everything by one link; whether it is a root can be set."""

    address = OWN

    def __init__(self, link: FakeLink) -> None:
        self._path = Path(link, ("192.0.2.1", 9993))  # type: ignore[arg-type]
        self.root = False

    def path_to(self, node: int) -> Path | None:
        return self._path

    def is_root(self) -> bool:
        return self.root


class FakePoll:
    def register(self, *_: Any) -> None: ...


class Bench:
    def __init__(self) -> None:
        self.link = FakeLink()
        self.router = FakeRouter(self.link)
        self.switch = Switch(self.router, FakePoll())  # type: ignore[arg-type]
        self.net = Network(NWID, OWN, "", NetworkSettings(), FakeKernel())  # type: ignore[arg-type]
        members = [f"{OWN:010x}", f"{OTHER:010x}"]
        raw = {
            "key": KEY.hex(),
            "members": members,
            "multicastLimit": 32,
            "broadcast": True,
            "emulateNd": True,
        }
        self.net.configure(config.parse(raw))
        self.switch.attach(self.net)

    @property
    def wire(self) -> Any:
        tap: Any = self.net.tap
        return tap.wire

    def transmit(self, frame: bytes) -> list[bytes]:
        """What leaves when the kernel sends a frame."""
        self.link.socket.sent.clear()
        self.wire.send(OFFLOAD + frame)
        self.switch._drain_tap(self.net)
        return list(self.link.socket.sent)

    def receive(self, data: bytes) -> bytes | None:
        """The frame that a datagram brings, if it brings one."""
        self.link.socket.waiting.append(data)
        self.switch._drain_link(self.link)  # type: ignore[arg-type]
        try:
            read: bytes = self.wire.recv(65536)
        except BlockingIOError:
            return None
        assert read[:10] == OFFLOAD
        return read[10:]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(network, "Tap", FakeTap)
    return Bench()


def _datagram(source: int, frame: bytes, key: bytes = KEY, to: int = OWN) -> bytes:
    return wire.frame_header(to, source, NWID, wire.ticket(key, source)) + OFFLOAD + frame


def test_a_frame_to_a_member(bench: Bench) -> None:
    frame = OTHER_MAC + OWN_MAC + PAYLOAD
    for _ in range(2):  # slowly, then by the table
        assert bench.transmit(frame) == [_datagram(OWN, frame, to=OTHER)]


def test_the_header_leaves_room_for_an_mtu_of_1390() -> None:
    assert 40 + 8 + wire.FRAME_HEADER + len(OFFLOAD) + 14 + 1390 <= 1500  # in IPv6, whose header is longer


def test_frames_that_do_not_leave(bench: Bench) -> None:
    assert bench.transmit(derive.mac(NWID, STRANGER) + OWN_MAC + PAYLOAD) == []
    assert bench.transmit(bytes.fromhex("525400000001") + OWN_MAC + PAYLOAD) == []
    assert bench.transmit(OTHER_MAC + bytes.fromhex("525400000001") + PAYLOAD) == []
    bench.net.status = network.DENIED
    bench.switch.forget()
    assert bench.transmit(OTHER_MAC + OWN_MAC + PAYLOAD) == []


def test_a_frame_from_a_member(bench: Bench) -> None:
    frame = OWN_MAC + OTHER_MAC + PAYLOAD
    for _ in range(2):
        assert bench.receive(_datagram(OTHER, frame)) == frame


def test_frames_that_do_not_arrive(bench: Bench) -> None:
    frame = OWN_MAC + OTHER_MAC + PAYLOAD
    assert bench.receive(_datagram(OTHER, frame, key=bytes(16))) is None
    assert bench.receive(_datagram(STRANGER, OWN_MAC + derive.mac(NWID, STRANGER) + PAYLOAD)) is None
    assert bench.receive(_datagram(OTHER, OWN_MAC + derive.mac(NWID, STRANGER) + PAYLOAD)) is None
    assert bench.receive(_datagram(OTHER, derive.mac(NWID, STRANGER) + OTHER_MAC + PAYLOAD)) is None
    assert bench.receive(_datagram(OTHER, frame, to=STRANGER)) is None
    assert bench.receive(b"\xa1") is None
    assert bench.receive(b"something else altogether, long enough to look at") is None


def test_a_root_passes_on_what_is_for_others(bench: Bench) -> None:
    data = _datagram(OTHER, OWN_MAC + OTHER_MAC + PAYLOAD, to=STRANGER)
    bench.receive(data)
    assert bench.link.socket.sent == []
    bench.router.root = True
    bench.receive(data)
    assert bench.link.socket.sent == [wire.relayed(data)]
    for _ in range(wire.MAX_HOPS):
        data = wire.relayed(data)
    bench.receive(data)
    assert len(bench.link.socket.sent) == 1


def test_messages_go_to_the_control_thread(bench: Bench) -> None:
    bench.receive(wire.message(OWN, OTHER, {"k": "hello"}))
    event = bench.switch.inbox.get_nowait()
    assert isinstance(event, Message)
    assert wire.content(event.data) == {"k": "hello"}


def _arp(target: str) -> bytes:
    octets = bytes(int(part) for part in target.split("."))
    asking = b"\x00\x01\x08\x00\x06\x04\x00\x01" + OWN_MAC + b"\x0a\x42\x00\x02" + bytes(6) + octets
    return b"\xff" * 6 + OWN_MAC + b"\x08\x06" + asking


def test_an_arp_request_goes_only_to_who_listens_for_that_address(bench: Bench) -> None:
    bench.net.subscribers[OTHER] = frozenset({Group(network.BROADCAST, 0x0A420001)})
    assert len(bench.transmit(_arp("10.66.0.1"))) == 1
    assert bench.transmit(_arp("10.66.0.3")) == []  # this is why gratuitous ARP reaches nobody


def test_multicast(bench: Bench) -> None:
    group = bytes.fromhex("3333ff000001")
    assert bench.transmit(group + OWN_MAC + PAYLOAD) == []
    bench.net.subscribers[OTHER] = frozenset({Group(group)})
    assert len(bench.transmit(group + OWN_MAC + PAYLOAD)) == 1
    assert len(bench.transmit(network.BROADCAST + OWN_MAC + PAYLOAD)) == 1
    bench.net.config = config.parse({"key": KEY.hex(), "members": [f"{OTHER:010x}"], "multicastLimit": 0})
    assert bench.transmit(group + OWN_MAC + PAYLOAD) == []


def _solicitation(asker: bytes, target: bytes) -> bytes:
    icmp = struct.pack(">BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + OWN_MAC
    ip = (
        struct.pack(">IHBB", 6 << 28, len(icmp), 58, 255)
        + asker
        + b"\xff\x02"
        + bytes(9)
        + b"\x01\xff"
        + target[-3:]
    )
    return b"\x33\x33\xff" + target[-3:] + OWN_MAC + b"\x86\xdd" + ip + icmp


def _sum16(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(total)


def test_neighbour_discovery_is_answered_at_home(bench: Bench) -> None:
    asker, target = derive.rfc4193(NWID, OWN).ip.packed, derive.rfc4193(NWID, OTHER).ip.packed
    assert bench.transmit(_solicitation(asker, target)) == []
    frame: bytes = bench.wire.recv(65536)[len(OFFLOAD) :]
    assert frame[:14] == OWN_MAC + OTHER_MAC + b"\x86\xdd"
    assert frame[22:54] == target + asker
    icmp = frame[54:]
    assert icmp[0] == 136
    assert icmp[8:32] == target + b"\x02\x01" + OTHER_MAC
    assert _sum16(frame[22:54] + struct.pack(">II", len(icmp), 58) + icmp) == 0xFFFF


def test_other_solicitations_are_not(bench: Bench) -> None:
    target = derive.rfc4193(NWID, OTHER).ip.packed
    assert neighbours.answer(NWID, _solicitation(bytes(16), target)) is None  # looking for duplicates
    assert neighbours.answer(NWID, _solicitation(target, b"\x26\x00" + bytes(14))) is None
    assert neighbours.answer(NWID, OTHER_MAC + OWN_MAC + PAYLOAD) is None
