"""Which /80 members get their IPv6 addresses from: pure."""

from __future__ import annotations

from ipaddress import IPv6Network

from . import derive
from .config import IPv6
from .errors import ZtgateError
from .facts.wan import Wan


def choose(settings: IPv6, wan: Wan) -> tuple[IPv6Network | None, str]:
    """The /80, or None and the reason."""
    if settings.mode == "off":
        return None, "switched off in gateway.yaml"
    if not wan.interface6:
        return None, "the WAN has no IPv6 default route"
    if settings.prefix:
        if settings.prefix not in wan.prefixes:
            return None, f"the WAN does not have ipv6.prefix {settings.prefix}"
        prefix = settings.prefix
    elif wan.prefixes:
        prefix = wan.prefixes[0]
    else:
        return None, f"{wan.interface6} has no global IPv6 /64"
    subnet = derive.subnet_of(prefix, settings.subnet)
    for address in wan.addresses6:
        if address in subnet:
            raise ZtgateError(
                f"ipv6.subnet: {subnet} holds the gateway's own address {address}", "take another subnet"
            )
    return subnet, ""
