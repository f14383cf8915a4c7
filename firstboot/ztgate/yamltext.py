"""YAML to plain values, guided by a JSON Schema, with the line of every key.

The schema says which scalars are text, so `network: 0123456701234567` and `mode: off` mean what they
look like instead of an octal number and a boolean.
"""

from __future__ import annotations

from typing import Any

import yaml

from .errors import ZtgateError

Path = tuple[str | int, ...]
Schema = dict[str, Any]
MAX_BYTES = 256 * 1024


class Document:
    """The values of a YAML text, the line of each of them, and what was wrong already while reading."""

    def __init__(self, value: Any, lines: dict[Path, int], problems: list[tuple[int, str, str]]) -> None:
        self.value = value
        self.lines = lines
        self.problems = problems

    def line(self, path: Path) -> int:
        """Line (from 1) of the key at this path or of its nearest parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str, name: str, schema: Schema) -> Document:
    """Read one YAML document; ZtgateError names the line where it is no YAML."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES:
        raise ZtgateError(f"{name}: larger than {MAX_BYTES // 1024} KiB", "is this the right file?")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text.replace("\r\n", "\n"), Loader=loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, name) from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", None) or "unreadable"
        raise ZtgateError(f"{name}: not a text file in UTF-8 ({reason})", "save it as plain text") from None
    if root is None:
        raise ZtgateError(f"{name}: is empty", "it needs at least `network: <network id>`")
    reader = _Reader()
    value = reader.read(root, schema, ())
    if not isinstance(value, dict):
        raise ZtgateError(f"{name}:{_line(root)}: is not a list of `key: value` lines", _COLON_HINT)
    return Document(value, reader.lines, reader.problems)


_COLON_HINT = "write `network: 8056c2e21c000001`, with a space after the colon"


def _syntax_error(error: yaml.MarkedYAMLError, text: str, name: str) -> ZtgateError:
    mark = error.problem_mark or error.context_mark
    number = mark.line + 1 if mark else 1
    lines = text.splitlines()
    typed = lines[number - 1] if number <= len(lines) else ""
    if "\t" in typed[: len(typed) - len(typed.lstrip())] or "'\\t'" in (error.problem or ""):
        return ZtgateError(
            f"{name}:{number}: indented with a tab", "YAML wants spaces: replace each tab by two"
        )
    problem = error.problem or error.context or "not YAML"
    hint = "check the quotes, colons and indentation of this line and of the one before"
    if "single document" in (error.context or ""):
        hint = "one document only: remove the `---` line"
    return ZtgateError(f"{name}:{number}: broken YAML: {problem}", hint)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Walks the node tree beside the schema, so it never goes deeper than the schema does."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[tuple[int, str, str]] = []

    def read(self, node: yaml.Node, schema: Schema, path: Path) -> Any:
        self.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, schema.get("properties", {}), path)
        if isinstance(node, yaml.SequenceNode):
            if "items" not in schema:
                return []
            return [self.read(item, schema["items"], (*path, i)) for i, item in enumerate(node.value)]
        return _scalar(node, schema.get("type", "string"))

    def _mapping(self, node: yaml.MappingNode, properties: Schema, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            where = ".".join(map(str, (*path, key)))
            if key in result:
                first = self.lines[(*path, key)]
                self.problems.append(
                    (_line(key_node), f"{where}: given twice", f"line {first} has it already")
                )
                continue
            self.lines[(*path, key)] = _line(key_node)
            # Below an unknown key nothing matters: the key itself is the error.
            known = key in properties
            result[key] = self.read(value_node, properties[key], (*path, key)) if known else None
        return result


def _scalar(node: yaml.Node, types: str | list[str]) -> Any:
    wanted = [types] if isinstance(types, str) else types
    if node.tag == "tag:yaml.org,2002:null" and ("null" in wanted or "object" in wanted or "array" in wanted):
        return None if "null" in wanted else ({} if "object" in wanted else [])
    if "string" in wanted:
        return node.value
    constructor = yaml.constructor.SafeConstructor()
    try:
        return constructor.construct_object(node)  # type: ignore[no-untyped-call]
    except (yaml.YAMLError, ValueError):
        return node.value
