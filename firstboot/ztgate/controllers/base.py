"""What the rest of ztgate knows of a controller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ZtgateError
from ..http import WRONG_API, Api, StatusError
from . import shapes

# The keys of a network and of a member that ztgate reads or writes, as a controller itself names them.
NETWORK_KEYS = ("routes", "ipAssignmentPools", "v4AssignMode", "v6AssignMode", "mtu", "multicastLimit", "dns")
# A network without a DNS setting. Never null or a list: zerotier-one 1.14.1 takes no other than an object.
NO_DNS: dict[str, Any] = {"domain": "", "servers": []}
MEMBER_KEYS = ("authorized", "ipAssignments", "noAutoAssignIps")
CONFLICT = "somebody else may be changing the same thing at this moment; ztgate tries again"


@dataclass(frozen=True)
class Network:
    """A network's settings as they are at the controller (NETWORK_KEYS only)."""

    id: str
    settings: dict[str, Any]
    revision: int | None = None  # where the controller counts its writes


@dataclass(frozen=True)
class Member:
    """A member's settings as they are at the controller (MEMBER_KEYS only).

    refused: it does not only wait, but was put out or rejected. seen: Unix time of its last word, 0.0 if that
    is not known.
    """

    node: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    seen: float = 0.0

    @property
    def authorized(self) -> bool:
        """Whether the controller lets it in."""
        return bool(self.settings.get("authorized"))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its assigned addresses, without prefix lengths."""
        return tuple(str(text).split("/")[0] for text in self.settings.get("ipAssignments") or ())


Read = Callable[[Any], Member]  # makes a member of an answer


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

    def check_power(self, network: str, *, delete: bool = False) -> None:
        """Before the first write: whether the token may write, and delete members, as far as that shows.

        Raises:
            ZtgateError: it may not.
        """


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
    said = f": {error.said}" if error.said else ""
    hint = error.hint or (CONFLICT if error.code == 409 else WRONG_API)
    return ZtgateError(f"{error.message}{said}", hint)


def call(api: Api, network: str, where_token: str, method: str, path: str, body: Any = None) -> Any:
    """The answer to a request about a network; what is refused is put into words."""
    try:
        return api.request(method, path, body)
    except StatusError as error:
        raise in_words(error, network, api.host, where_token) from None


def asked_member(api: Api, network: str, node: str, where_token: str, path: str, read: Read) -> Member | None:
    """One member from where it has a path of its own; 404 is the answer for one that is not there."""
    try:
        found = read(api.request("GET", path))
    except StatusError as error:
        if error.code == 404:
            return None
        raise in_words(error, network, api.host, where_token) from None
    shapes.same(api.host, "a member", found.node, node)
    return found


def too_weak(host: str, network: str, deed: str) -> ZtgateError:
    """A token that reads, and may not write."""
    return ZtgateError(
        f"the token may read network {network} at {host}, but not {deed}",
        "use a token of somebody who may; nothing was changed",
    )


def pick(data: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The named keys that are there."""
    return {key: data[key] for key in keys if key in data}
