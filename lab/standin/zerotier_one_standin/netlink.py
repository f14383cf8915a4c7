"""The kernel's addresses and routes, set through rtnetlink: no process is started for it."""

import itertools
import os
import socket
import struct
import threading

from .addresses import IP, Inet

_NETLINK_ROUTE = 0
_NLM_REQUEST_ACK = 0x05
_NLM_CREATE_EXCL = 0x600
_NLMSG_ERROR = 2
_RTM_NEWLINK = 16
_IFLA_GSO_MAX_SIZE = 41
_RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE, _RTM_DELROUTE = 20, 21, 24, 25
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_PERMANENT = 0x80
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_TABLE_MAIN, _PROTO_STATIC, _UNICAST = 254, 4, 1
_METRIC_VIA = 5000  # what ZeroTier gives its routes, so that physical ones win


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def _family(ip: IP) -> int:
    return int(socket.AF_INET if ip.version == 4 else socket.AF_INET6)


class Netlink:
    """One rtnetlink socket; every call returns 0 or an errno."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = itertools.count(1)
        self._lock = threading.Lock()

    def add_address(self, device: str, address: Inet) -> int:
        """Put an address on a device."""
        return self._address(_RTM_NEWADDR, _NLM_CREATE_EXCL, device, address)

    def remove_address(self, device: str, address: Inet) -> int:
        """Take an address off a device."""
        return self._address(_RTM_DELADDR, 0, device, address)

    def add_route(self, device: str, target: Inet, via: IP) -> int:
        """Add a route through a next hop, with ZeroTier's metric."""
        return self._route(_RTM_NEWROUTE, _NLM_CREATE_EXCL, device, target, via)

    def remove_route(self, device: str, target: Inet, via: IP) -> int:
        """Delete a route that add_route made."""
        return self._route(_RTM_DELROUTE, 0, device, target, via)

    def limit_segments(self, device: str, size: int) -> int:
        """Have the kernel cut up what is larger than this many octets before it gets to a device."""
        try:
            index = socket.if_nametoindex(device)
        except OSError as error:
            return error.errno or 1
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
        return self._request(_RTM_NEWLINK, 0, body + _attribute(_IFLA_GSO_MAX_SIZE, struct.pack("=I", size)))

    def _address(self, kind: int, flags: int, device: str, address: Inet) -> int:
        try:
            index = socket.if_nametoindex(device)
        except OSError as error:
            return error.errno or 1
        body = struct.pack("=BBBBI", _family(address.ip), address.bits, _IFA_F_PERMANENT, 0, index)
        body += _attribute(_IFA_LOCAL, address.ip.packed) + _attribute(_IFA_ADDRESS, address.ip.packed)
        if address.ip.version == 4 and address.bits < 31:
            hosts = (1 << (32 - address.bits)) - 1
            body += _attribute(_IFA_BROADCAST, (int(address.ip) | hosts).to_bytes(4, "big"))
        return self._request(kind, flags, body)

    def _route(self, kind: int, flags: int, device: str, target: Inet, via: IP) -> int:
        try:
            index = socket.if_nametoindex(device)
        except OSError as error:
            return error.errno or 1
        body = struct.pack(
            "=BBBBBBBBI",
            *(_family(target.ip), target.bits, 0, 0, _TABLE_MAIN, _PROTO_STATIC, 0, _UNICAST, 0),
        )
        # The target as it is: the kernel refuses one with host bits, and so it goes with the real daemon.
        body += _attribute(_RTA_DST, target.ip.packed) + _attribute(_RTA_OIF, struct.pack("=I", index))
        body += _attribute(_RTA_GATEWAY, via.packed)
        body += _attribute(_RTA_PRIORITY, struct.pack("=I", _METRIC_VIA))
        return self._request(kind, flags, body)

    def _request(self, kind: int, flags: int, body: bytes) -> int:
        with self._lock:
            sequence = next(self._sequence)
            header = struct.pack("=IHHII", 16 + len(body), kind, _NLM_REQUEST_ACK | flags, sequence, 0)
            self._socket.send(header + body)
            while True:
                reply = self._socket.recv(65536)
                _, got, _, number, _ = struct.unpack_from("=IHHII", reply)
                if got == _NLMSG_ERROR and number == sequence:
                    return -int(struct.unpack_from("=i", reply, 16)[0])


def reason(error: int) -> str:
    """An errno in words."""
    return os.strerror(error)
