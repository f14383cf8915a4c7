"""Taps and what the kernel says about interfaces, by ioctl and /proc: cheap enough to ask often."""

import array
import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from .addresses import IP
from .errors import StandinError

_TUN_DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000
_CHECKSUM_AND_TSO = 0x01 | 0x02 | 0x04
_IFF_UP_MULTICAST = 0x1 | 0x1000
_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8912, 0x8913, 0x8914
_SIOCSIFMTU, _SIOCSIFHWADDR = 0x8922, 0x8924
_ARPHRD_ETHER = 1
_IFREQ_SIZE = 40
_IN6_TEMPORARY, _IN6_UNUSABLE = 0x01, 0x08 | 0x40  # temporary; duplicate found, or not yet checked


OFFLOAD_HEADER = 10  # octets of struct virtio_net_hdr before every frame that is read or written
NO_OFFLOAD = bytes(OFFLOAD_HEADER)
LARGEST_READ = OFFLOAD_HEADER + 14 + 65536


class Tap:
    """A network's Ethernet device; it goes away with its file descriptor.

    Unlike the real daemon's it takes TCP segments that the kernel has not cut up yet, and leaves checksums to
    whoever needs them: a header before the frame says so, and travels with it to the other tap. A download
    costs a fraction of the frames, which an emulated gateway needs.
    """

    def __init__(self, name: str, mac: bytes, mtu: int) -> None:
        try:
            self.fd = os.open(_TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StandinError(f"could not open TUN/TAP device: {error.strerror}", "modprobe tun") from error
        self.mtu = 0
        try:
            request = struct.pack("16sH22x", name.encode(), _IFF_TAP_NO_PI_VNET_HDR)
            self.name = fcntl.ioctl(self.fd, _TUNSETIFF, request)[:16].rstrip(b"\0").decode()
            fcntl.ioctl(self.fd, _TUNSETOFFLOAD, _CHECKSUM_AND_TSO)
            self._configure(mac)
            self.set_mtu(mtu)
        except OSError as error:
            os.close(self.fd)
            raise StandinError(f"unable to configure TUN/TAP device: {error.strerror}") from error

    def _configure(self, mac: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = self.name.encode()
            fcntl.ioctl(control, _SIOCSIFHWADDR, struct.pack("16sH6s16x", name, _ARPHRD_ETHER, mac))
            flags = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", name, 0))
            up = struct.unpack_from("H", flags, 16)[0] | _IFF_UP_MULTICAST
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name, up))

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU if it is another."""
        if mtu == self.mtu:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", self.name.encode(), mtu))
        self.mtu = mtu

    def close(self) -> None:
        """Remove the device, and with it its addresses and routes."""
        with contextlib.suppress(OSError):
            os.close(self.fd)


class InterfaceAddress(NamedTuple):
    """An address that an interface has."""

    interface: str
    ip: IP


def exists(name: str) -> bool:
    """Whether there is an interface of that name."""
    return Path("/proc/sys/net/ipv4/conf", name).exists()


def interface_addresses() -> list[InterfaceAddress]:
    """All usable addresses of all interfaces, both families; not IPv6 temporary ones."""
    return _ipv4_addresses() + _ipv6_addresses()


def _ipv4_addresses() -> list[InterfaceAddress]:
    buffer = array.array("B", bytes(_IFREQ_SIZE * 256))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        where = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        used = struct.unpack("iL", fcntl.ioctl(control, _SIOCGIFCONF, where))[0]
    raw = buffer.tobytes()
    found = []
    for start in range(0, used, _IFREQ_SIZE):
        label = raw[start : start + 16].split(b"\0", 1)[0].decode()
        packed = raw[start + 20 : start + 24]
        found.append(InterfaceAddress(label.split(":")[0], ipaddress.IPv4Address(packed)))
    return found


def _ipv6_addresses() -> list[InterfaceAddress]:
    found = []
    for line in _proc_lines("if_inet6"):
        packed, _, _, _, flags, interface = line.split()
        if not int(flags, 16) & (_IN6_TEMPORARY | _IN6_UNUSABLE):
            found.append(InterfaceAddress(interface, ipaddress.IPv6Address(bytes.fromhex(packed))))
    return found


def multicast_groups(device: str) -> list[bytes]:
    """The Ethernet groups that a device listens to."""
    lines = (line.split() for line in _proc_lines("dev_mcast"))
    return [bytes.fromhex(fields[4]) for fields in lines if fields[1] == device]


def _proc_lines(name: str) -> list[str]:
    try:
        return Path("/proc/net", name).read_text().splitlines()
    except OSError:
        return []  # IPv6 may be switched off
