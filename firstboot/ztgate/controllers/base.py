"""What the rest of ztgate knows of a controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ZtgateError
from ..http import StatusError

# The keys of a network that ztgate reads or writes; both APIs name them alike.
NETWORK_KEYS = ("routes", "ipAssignmentPools", "v4AssignMode", "v6AssignMode", "mtu", "multicastLimit")
MEMBER_KEYS = ("authorized", "ipAssignments", "noAutoAssignIps")


@dataclass(frozen=True)
class Network:
    """A network's settings as they are at the controller (NETWORK_KEYS only)."""

    id: str
    settings: dict[str, Any]
    revision: int | None = None  # where the controller counts its writes


@dataclass(frozen=True)
class Member:
    """A member's settings as they are at the controller (MEMBER_KEYS only)."""

    node: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its assigned addresses, without prefix lengths."""
        return tuple(str(text).split("/")[0] for text in self.settings.get("ipAssignments") or ())


class Controller(Protocol):
    """A controller of any kind. Changes name only the keys that change; arrays are replaced whole."""

    def network(self, network: str) -> Network:
        """The network as it is."""

    def members(self, network: str) -> dict[str, Member]:
        """Every member by node id."""

    def member(self, network: str, node: str) -> Member | None:
        """One member; None if it was never heard of."""

    def write_network(self, network: str, changes: dict[str, Any]) -> None:
        """Set keys of NETWORK_KEYS."""

    def write_member(self, network: str, node: str, changes: dict[str, Any]) -> None:
        """Set keys of MEMBER_KEYS or "name"; the member need not have joined before."""

    def delete_member(self, network: str, node: str) -> None:
        """Forget a member. One that still asks comes back, so it is deauthorized and has left before."""


def in_words(error: StatusError, network: str, host: str, where_token: str) -> ZtgateError:
    """401, 403 and 404 told apart."""
    if error.code == 401:
        return ZtgateError(f"{host} does not accept the token (401)", f"put a valid one there: {where_token}")
    if error.code == 403:
        return ZtgateError(
            f"the token is valid at {host}, but may not administer network {network} (403)",
            "use a token of the account that owns the network",
        )
    if error.code == 404:
        return ZtgateError(f"{host} knows no network {network} (404)", "check network: and controller.url")
    return ZtgateError(f"{error.message}", "is controller.kind right for this URL?")


def pick(data: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The named keys that are there."""
    return {key: data[key] for key in keys if key in data}
