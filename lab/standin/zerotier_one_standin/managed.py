"""The addresses and routes that a network puts into the kernel: what is wanted, and making it so."""

import errno
import logging
from collections.abc import Iterable

from . import addresses, netlink, tap
from .addresses import IP, Inet
from .config import Config
from .home import NetworkSettings
from .netlink import Netlink

log = logging.getLogger(__name__)


def allowed(settings: NetworkSettings, target: Inet) -> bool:
    """Whether the owner of this node lets the network set this address or route."""
    if not settings.allow_managed:
        return False
    if settings.managed_whitelist:
        listed = (addresses.parse(text) for text in settings.managed_whitelist)
        if not any(each and each.contains(target.ip) and each.bits <= target.bits for each in listed):
            return False
    if target.is_default:
        return settings.allow_default
    if addresses.is_never_managed(target.ip):
        return False
    return settings.allow_global or not addresses.is_global(target.ip)


def wanted_addresses(config: Config, settings: NetworkSettings) -> list[Inet]:
    """The assigned addresses that pass the owner's gates."""
    return sorted({each for each in config.addresses if allowed(settings, each)}, key=lambda each: each.order)


def wanted_routes(
    config: Config, settings: NetworkSettings, managed: Iterable[Inet], device_ips: Iterable[IP]
) -> dict[Inet, IP]:
    """The routes to set, by target: of two with the same target the first counts.

    Left out are those through this node itself, of a family in which the device has no address, and those
    that the kernel makes by itself because an address has the same prefix length: an address that was given
    /0 makes a default route disappear. Other routes without a next hop are left out as well, because the
    kernel refuses the malformed request that the real daemon makes for them.
    """
    managed = list(managed)
    own = {*device_ips, *(each.ip for each in config.addresses)}
    families = {ip.version for ip in own}
    wanted: dict[Inet, IP] = {}
    for target, via in config.routes:
        implied = any(each.bits == target.bits and target.contains(each.ip) for each in managed)
        refused = not allowed(settings, target) or via in own or target.ip.version not in families
        if via is not None and not implied and not refused:
            wanted.setdefault(target, via)
    return wanted


class Managed:
    """A network's share of the kernel's tables."""

    def __init__(self, device: str, kernel: Netlink) -> None:
        self.device = device
        self.addresses: list[Inet] = []
        self.routes: dict[Inet, IP] = {}
        self._kernel = kernel

    def sync(self, config: Config, settings: NetworkSettings, online: bool) -> None:
        """Make the kernel's tables what they should be, as far as the real daemon does."""
        self._sync_addresses(wanted_addresses(config, settings))
        device_ips = [each.ip for each in tap.interface_addresses() if each.interface == self.device]
        wanted = wanted_routes(config, settings, self.addresses, device_ips)
        for target in [target for target in self.routes if target not in wanted]:
            via = self.routes.pop(target)
            for half in addresses.halves(target):
                self._kernel.remove_route(self.device, half, via)
        for target, via in wanted.items():
            self.routes.setdefault(target, via)  # a changed next hop never replaces the old one
        for target, via in self.routes.items():
            if online or not target.is_default:
                self._add_route(target, via)

    def _sync_addresses(self, wanted: list[Inet]) -> None:
        for address in [each for each in self.addresses if each not in wanted]:
            self._kernel.remove_address(self.device, address)
        for address in [each for each in wanted if each not in self.addresses]:
            error = self._kernel.add_address(self.device, address)
            if error not in (0, errno.EEXIST):
                log.error("unable to add ip address %s: %s", address, netlink.reason(error))
        self.addresses = wanted

    def _add_route(self, target: Inet, via: IP) -> None:
        for half in addresses.halves(target):
            error = self._kernel.add_route(self.device, half, via)
            if error not in (0, errno.EEXIST):
                log.info("route %s via %s: %s", half, via, netlink.reason(error))
