"""JSON values taken as loosely as the real daemon takes them: "1300" is a number, "false" is false."""

from typing import Any

Json = dict[str, Any]


def to_bool(value: Any, default: bool = False) -> bool:
    """A truth value from a boolean, a number or a word that begins with t or 1."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value > 0
    if isinstance(value, str):
        return value[:1] in ("t", "T", "1")
    return default


def to_int(value: Any, default: int = 0) -> int:
    """A number from a number, a boolean or leading digits (none: 0)."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, str):
        digits = value.lstrip()
        end = next((i for i, c in enumerate(digits) if not c.isdigit()), len(digits))
        return int(digits[:end] or "0")
    return default


def to_str(value: Any, default: str = "") -> str:
    """Text from text, a number or a boolean."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return str(int(value))
    return default
