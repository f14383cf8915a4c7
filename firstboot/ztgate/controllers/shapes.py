"""Whether an answer has the shape that the rest of ztgate relies on.

Rows are written back whole, so what is not understood must not be taken for a network without rows. null
stands for what is not there: servers written in Go say so of empty lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from ..errors import ZtgateError
from ..http import WRONG_API

Check = Callable[[Any], bool]


def wrong(host: str, what: str, problem: str) -> ZtgateError:
    """The error for an answer that is `what` by no means."""
    return ZtgateError(f"{host} answered with something else than {what}: {problem}", WRONG_API)


def mapping(host: str, what: str, value: Any) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise wrong(host, what, f"it is {_kind(value)}")
    return value


def rows(host: str, what: str, value: Any) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise wrong(host, what, f"it is {_kind(value)}")
    return value


def same(host: str, what: str, found: Any, wanted: str) -> None:
    """An answer about what was asked for, and not about anything else."""
    if str(found or "").lower() != wanted.lower():
        raise wrong(host, what, "its id is missing" if not found else "its id is another one")


def network(host: str, settings: Mapping[str, Any]) -> None:
    """A network's settings (base.NETWORK_KEYS); one without any would be taken for one without routes."""
    if not settings:
        raise wrong(host, "a network", "it has no settings")
    _check(host, "a network", settings, _NETWORK)


def member(host: str, settings: Mapping[str, Any]) -> None:
    """A member's settings (base.MEMBER_KEYS)."""
    _check(host, "a member", settings, _MEMBER)


def moment(value: Any) -> float:
    """Unix time of milliseconds or of RFC 3339 text; 0.0 for never, however that is put."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(0.0, value / 1000)
    try:
        return max(0.0, datetime.fromisoformat(value).timestamp())
    except (TypeError, ValueError, OverflowError, OSError):
        return 0.0


def _check(host: str, what: str, settings: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    for key, check in checks.items():
        value = settings.get(key)
        try:
            good = value is None or check(value)
        except (KeyError, TypeError, ValueError, AttributeError):
            good = False
        if not good:
            raise wrong(host, what, f"its {key} cannot be read")


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int)


def _all(value: Any, row: Check) -> bool:
    return isinstance(value, list) and all(row(each) for each in value)


def _is_route(row: Any) -> bool:
    via = row.get("via")
    return bool(ip_network(str(row["target"]), strict=False)) and bool(not via or ip_address(via))


def _is_pool(row: Any) -> bool:
    return bool(ip_address(row["ipRangeStart"])) and bool(ip_address(row["ipRangeEnd"]))


def _is_dns(value: Any) -> bool:
    """An object; the controller shows an empty list where nothing was ever set."""
    return not value or _all(value.get("servers") or [], lambda text: isinstance(text, str))


def _is_assignment(text: Any) -> bool:
    return isinstance(text, str) and bool(ip_address(text.split("/")[0]))


_NETWORK: dict[str, Check] = {
    "routes": lambda value: _all(value, _is_route),
    "ipAssignmentPools": lambda value: _all(value, _is_pool),
    "v4AssignMode": _is_object,
    "v6AssignMode": _is_object,
    "mtu": _is_number,
    "multicastLimit": _is_number,
    "dns": _is_dns,
}
_MEMBER: dict[str, Check] = {"ipAssignments": lambda value: _all(value, _is_assignment)}
