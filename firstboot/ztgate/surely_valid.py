"""Whether a document surely satisfies gateway.schema.json: the quick answer for the ones that do.

jsonschema is the judge, and takes 450 million instructions to load: a fifth of all that a boot costs ztgate.
So it is asked only about a document that this module cannot vouch for, and then also finds the words for what
is wrong. A keyword that is not known here means "cannot vouch".
"""

from __future__ import annotations

import re
from typing import Any

from . import formats
from .yamltext import Schema

_KINDS = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list, "null": type(None)}
_SAY_NOTHING = frozenset({"$schema", "$id", "title", "description", "default", "examples"})
_SAY_SOMETHING = frozenset(
    {
        *("type", "enum", "minimum", "maximum", "minLength", "pattern", "format"),
        *("minItems", "maxItems", "items", "properties", "required", "additionalProperties"),
    }
)


def surely_valid(value: Any, schema: Schema) -> bool:
    """False where it is not valid, and also where this cannot tell."""
    if any(key not in _SAY_SOMETHING | _SAY_NOTHING and not key.startswith("x-") for key in schema):
        return False
    types = schema.get("type", ())
    kinds = tuple(_KINDS[kind] for kind in ([types] if isinstance(types, str) else types))
    # By its very type: to Python, True is an integer, too.
    if kinds and type(value) not in kinds:
        return False
    if isinstance(value, dict):
        return _object(value, schema)
    if isinstance(value, list):
        return _array(value, schema)
    if isinstance(value, str):
        return _text(value, schema)
    return value is None or ("enum" not in schema and _number(value, schema))


def _object(value: dict[str, Any], schema: Schema) -> bool:
    known = schema.get("properties", {})
    return (
        "enum" not in schema
        and schema.get("additionalProperties") is False
        and all(key in value for key in schema.get("required", ()))
        and all(key in known and surely_valid(below, known[key]) for key, below in value.items())
    )


def _array(value: list[Any], schema: Schema) -> bool:
    return (
        "enum" not in schema
        and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(surely_valid(item, schema.get("items", {})) for item in value)
    )


def _text(value: str, schema: Schema) -> bool:
    pattern, named = schema.get("pattern"), schema.get("format")
    return (
        value in schema.get("enum", (value,))
        and len(value) >= schema.get("minLength", 0)
        # To Python, `$` is also before a last line break.
        and (pattern is None or (re.search(pattern, value) is not None and not value.endswith("\n")))
        and (named is None or (named in formats.CHECKS and formats.CHECKS[named](value)))
    )


def _number(value: float, schema: Schema) -> bool:
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
