"""Checks a document with gateway.schema.json and puts what is wrong into words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from . import formats
from .errors import ZtgateError
from .secret import SHOWN
from .yamltext import Document, Path, Problem, Schema

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_TYPE_WORDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "object": "a group of `key: value` lines, indented below it",
    "array": "a list: lines that begin with `- `",
    "null": "nothing",
}

# Not compiled here: that takes a slow board its time, and is seldom needed.
_SUSPECT = r"(?s)[^/:\s]{20,}|.*[@?].*"
_PLAIN_KEY = r"[A-Za-z0-9_.-]{1,19}"


def check(document: Document, schema: Schema, name: str) -> None:
    """Raise one ZtgateError that lists every problem by line; the first one's hint goes with it."""
    # Slow to import, so only when needed.
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.validators import extend

    checker = FormatChecker(formats=())
    for format_name, accepts in formats.CHECKS.items():
        checker.checks(format_name)(partial(_accepts, accepts))
    whole = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]
    validator = whole(schema, format_checker=checker)
    problems = list(document.problems)
    for error in validator.iter_errors(document.value):
        problems += _problems(error, document)
    raise_if_any(problems, name)


def _pattern(validator: object, pattern: str, value: object, _: object) -> Iterator[ValidationError]:
    """To Python, `$` is also before a last line break: such a text would be more than one line elsewhere."""
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and (re.search(pattern, value) is None or value.endswith("\n")):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _accepts(accepts: Callable[[str], bool], value: object) -> bool:
    return not isinstance(value, str) or accepts(value)


def raise_if_any(problems: list[Problem], name: str) -> None:
    """Raise the problems, sorted by line, as one error."""
    if problems:
        # A mistyped key explains why another one is missing, so it comes first.
        problems.sort(key=lambda problem: (problem[0], "is missing" in problem[1], problem[1]))
        message = "\n".join(f"{name}:{line}: {text}" for line, text, _ in problems)
        raise ZtgateError(message, problems[0][2])


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    path: Path = tuple(error.absolute_path)
    if _rule(error) == "additionalProperties":
        return [_unknown_key(key, path, error, document) for key in _extra_keys(error)]
    line = document.line(path)
    where = dotted(path)
    if _rule(error) == "required":
        missing = str(error.message).split("'")[1]
        return [
            (line, f"{dotted((*path, missing))}: is missing", f"add `{missing}: {_example(error, missing)}`")
        ]
    schema = error.schema if isinstance(error.schema, dict) else {}
    return [(line, f"{where}: {_wrong_value(error, schema)}", _hint(error, schema))]


def _rule(error: ValidationError) -> str:
    """The schema keyword that was broken."""
    return str(error.validator)


def dotted(path: Path) -> str:
    """A path as people write it: firewall.allow[1]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _extra_keys(error: ValidationError) -> list[str]:
    instance, schema = error.instance, error.schema
    if not isinstance(instance, dict) or not isinstance(schema, dict):
        return []
    return [key for key in instance if key not in schema["properties"]]


def _unknown_key(key: str, path: Path, error: ValidationError, document: Document) -> Problem:
    known = list(error.schema["properties"]) if isinstance(error.schema, dict) else []
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
    # `{token abc}` and `{abc}` are keys too, to YAML.
    plain = bool(re.fullmatch(_PLAIN_KEY, key)) and (bool(near) or not _holds_secret(error.schema))
    shown = dotted((*path, key if plain else SHOWN))
    return (document.line((*path, key)), f"{shown}: unknown key; {hint}", hint)


def _holds_secret(schema: object) -> bool:
    """Whether a value right below a section is a secret."""
    below = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return any(part.get("x-secret") for part in below.values())


def _wrong_value(error: ValidationError, schema: dict[str, Any]) -> str:
    value = error.instance
    typed = "the value" if _is_secret(schema) or may_be_secret(str(value)) else f"`{value}`"
    if _rule(error) == "type":
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        words = " or ".join(_TYPE_WORDS[kind] for kind in wanted if kind != "null")
        if "x-switch" in schema:
            words = f"on or off, or {words}"
        elif "x-what" in schema and "array" in wanted:
            words = schema["x-what"]
        shown = (
            "a list" if isinstance(value, list) else "a group of keys" if isinstance(value, dict) else typed
        )
        return f"{shown} is not {words}"
    if value == "":
        return "is empty"
    if _rule(error) == "enum":
        return f"{typed} is none of {', '.join(schema['enum'])}"
    if _rule(error) in ("minimum", "maximum"):
        return f"{typed} is not between {schema['minimum']} and {schema['maximum']}"
    if schema.get("pattern") == "^[0-9a-fA-F]{16}$" and isinstance(value, str):
        return f"{typed} has {len(value)} characters and is not {schema['x-what']}"
    if isinstance(value, str) and "PRIVATE KEY" in value:
        return "this is a private key; it must never leave your computer"
    return f"{typed} is not {schema['x-what']}" if "x-what" in schema else str(error.message)


def may_be_secret(value: str) -> bool:
    """Whether a value may be a token in the wrong line, or a URL with one: then it is not repeated."""
    return re.fullmatch(_SUSPECT, value) is not None


def _is_secret(schema: dict[str, Any]) -> bool:
    """Whether a value may be a secret, or hold one: `controller: token=...`."""
    return "x-secret" in schema or any(_is_secret(part) for part in schema.get("properties", {}).values())


def _hint(error: ValidationError, schema: dict[str, Any]) -> str:
    if _rule(error) == "enum":
        near = difflib.get_close_matches(str(error.instance), schema["enum"], n=1, cutoff=0.4)
        return f"write `{near[0]}`" if near else f"write one of: {', '.join(schema['enum'])}"
    if "x-hint" in schema:
        return str(schema["x-hint"])
    if schema.get("examples"):
        return f"for example `{schema['examples'][-1]}`"
    default = schema.get("default")
    return "" if default is None or default == {} else f"the default is `{default}`"


def _example(error: ValidationError, key: str) -> str:
    schema = error.schema if isinstance(error.schema, dict) else {}
    return str(schema["properties"][key]["examples"][0])
