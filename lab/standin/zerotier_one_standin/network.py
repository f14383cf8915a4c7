"""A network that this node has joined."""

import struct
from typing import NamedTuple

from . import derive, tap, wire
from .addresses import IP
from .coerce import Json
from .config import Config
from .home import NetworkSettings
from .managed import Managed
from .netlink import Netlink
from .tap import Tap

REQUESTING, DENIED, NOT_FOUND, OK = "REQUESTING_CONFIGURATION", "ACCESS_DENIED", "NOT_FOUND", "OK"
BROADCAST = b"\xff" * 6
_NAME_TRIALS = 64


class Group(NamedTuple):
    """A multicast group: an Ethernet address, and for ARP the IPv4 address that is asked for."""

    mac: bytes
    adi: int = 0

    @property
    def text(self) -> str:
        """For messages between nodes."""
        return f"{self.mac.hex()}/{self.adi:08x}"


def parse_group(text: str) -> Group:
    """Read `Group.text`."""
    mac, _, adi = text.partition("/")
    return Group(bytes.fromhex(mac), int(adi, 16))


class Network:
    """Its tap, configuration, settings and what other members listen to."""

    def __init__(
        self, nwid: int, node: int, wanted_name: str, settings: NetworkSettings, kernel: Netlink
    ) -> None:
        self.nwid = nwid
        self.node = node
        self.mac = derive.mac(nwid, node)
        self.settings = settings
        self.status = REQUESTING
        self.config = Config()
        self.tap = Tap(_free_name(nwid, wanted_name), self.mac, self.config.mtu)
        kernel.limit_segments(self.tap.name, wire.LARGEST_FRAME)
        self.managed = Managed(self.tap.name, kernel)
        self.groups: frozenset[Group] = frozenset()
        self.subscribers: dict[int, frozenset[Group]] = {}
        self.last_request = 0.0
        self.answered = False  # whether the controller has said anything in this run
        self.likes_sent: dict[int, float] = {}
        self._tickets: dict[int, bytes] = {}

    @property
    def controller(self) -> int:
        """The node that runs this network: the first ten digits of its id."""
        return self.nwid >> 24

    def configure(self, config: Config) -> None:
        """Take a new configuration."""
        if config.key != self.config.key:
            self._tickets.clear()
        self.config = config
        self.status = OK
        self.subscribers = {node: its for node, its in self.subscribers.items() if node in config.members}

    def sync(self, online: bool) -> None:
        """Bring tap, addresses and routes to what configuration and settings want."""
        self.managed.sync(self.config, self.settings, online)
        self.tap.set_mtu(self.config.mtu)

    def ticket(self, node: int) -> bytes:
        """What a member's frames carry; empty for a node that is no member, as nothing equals it."""
        if node not in self.config.members or not self.config.key or self.status != OK:
            return b""
        if node not in self._tickets:
            self._tickets[node] = wire.ticket(self.config.key, node)
        return self._tickets[node]

    def scan_groups(self) -> bool:
        """Look at what the tap listens to; whether it changed."""
        found = {Group(mac) for mac in tap.multicast_groups(self.tap.name)}
        found |= {_resolution_group(address.ip) for address in self.managed.addresses}
        changed = found != self.groups
        self.groups = frozenset(found)
        return changed

    def recipients(self, group: Group) -> list[int]:
        """The members that want a group's frames, at most as many as the network allows."""
        others = (node for node in self.config.members if node != self.node)
        everybody = group == Group(BROADCAST)
        wanting = [node for node in others if everybody or group in self.subscribers.get(node, ())]
        return wanting[: self.config.multicast_limit]

    def as_json(self) -> Json:
        """The form of the local API."""
        config, settings = self.config, self.settings
        return {
            "id": f"{self.nwid:016x}",
            "nwid": f"{self.nwid:016x}",
            "mac": derive.mac_text(self.mac),
            "name": config.name,
            "status": self.status,
            "type": "PRIVATE" if config.private else "PUBLIC",
            "mtu": config.mtu,
            "dhcp": False,
            "bridge": False,
            "broadcastEnabled": config.broadcast,
            "portError": 0,
            "netconfRevision": config.revision,
            "portDeviceName": self.tap.name,
            "allowManaged": settings.allow_managed,
            "allowGlobal": settings.allow_global,
            "allowDefault": settings.allow_default,
            "allowDNS": settings.allow_dns,
            "assignedAddresses": [str(address) for address in config.addresses],
            "routes": [route.as_json() for route in config.routes],
            "multicastSubscriptions": [
                {"mac": derive.mac_text(group.mac), "adi": group.adi} for group in sorted(self.groups)
            ],
            "dns": {"domain": config.dns_domain, "servers": list(config.dns_servers)},
        }


def _free_name(nwid: int, wanted: str) -> str:
    if wanted and not tap.exists(wanted):
        return wanted
    names = (derive.interface_name(nwid, trial) for trial in range(_NAME_TRIALS))
    return next(name for name in names if not tap.exists(name))


def _resolution_group(ip: IP) -> Group:
    """The group that somebody asks who wants to know an address's owner."""
    if ip.version == 4:
        return Group(BROADCAST, int(ip))
    return Group(b"\x33\x33\xff" + ip.packed[-3:])


def group_of(frame: bytes) -> Group:
    """The group that a multicast frame is for: ARP requests ask for one address."""
    arp_request = frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x01"
    if frame[:6] == BROADCAST and arp_request and len(frame) >= 42:
        return Group(BROADCAST, struct.unpack_from(">I", frame, 38)[0])
    return Group(frame[:6])
