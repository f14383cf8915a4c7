"""YAML to plain values, guided by a JSON Schema, with the line of every key.

The schema says which scalars are text, so `network: 0123456701234567` and `mode: off` mean what they
look like instead of an octal number and a boolean.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from . import slips, textfile
from .errors import ZtgateError

Path = tuple[str | int, ...]
Schema = dict[str, Any]
Problem = tuple[int, str, str]  # line from 1, what is wrong, what to do
MAX_BYTES = 256 * 1024
# Where YAML allows tabs: after a line's first word, and in a line with nothing but a comment.
_TABS = re.compile(r"(?<=\S)[ \t]+|^[ \t]+(?=#|$)", re.MULTILINE)


class Document:
    """The values of a YAML text, the line of each of them, and what was wrong already while reading.

    slips are what explains other problems, so they are to be shown alone.
    """

    def __init__(self, value: Any, reader: _Reader) -> None:
        self.value = value
        self.lines = reader.lines
        self.problems = reader.problems
        self.slips = reader.slips

    def line(self, path: Path) -> int:
        """Line (from 1) of the key at this path or of its nearest parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def compose(text: str) -> yaml.Node | None:
    """The nodes of a YAML text, their marks counting its characters; yaml.YAMLError where it is no YAML."""
    # libyaml knows only some of the places where tabs are allowed, PyYAML's own scanner none.
    spaced = _TABS.sub(lambda found: found.group().replace("\t", " "), text)
    root: yaml.Node | None = yaml.compose(spaced, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return root


def parse(text: str, name: str, schema: Schema) -> Document:
    """Read one YAML document; ZtgateError names the line where it is no YAML."""
    text = textfile.tidy(text, name)
    if len(text) > MAX_BYTES:
        raise ZtgateError(f"{name}: larger than {MAX_BYTES // 1024} KiB", "is this the right file?")
    try:
        root = compose(text)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, name, schema) from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", None) or "unreadable"
        raise ZtgateError(f"{name}: not a text file in UTF-8 ({reason})", "save it as plain text") from None
    if root is None:
        raise ZtgateError(f"{name}: is empty", "it needs at least `network: <network id>`")
    reader = _Reader(schema)
    value = reader.read(root, schema, ())
    if not isinstance(value, dict) and not reader.slips:
        raise ZtgateError(f"{name}:{_line(root)}: is not a list of `key: value` lines", _COLON_HINT)
    return Document(value, reader)


_COLON_HINT = "write `network: 8056c2e21c000001`, with a space after the colon"


def _syntax_error(error: yaml.MarkedYAMLError, text: str, name: str, schema: Schema) -> ZtgateError:
    lines = text.rstrip().split("\n")
    number = _error_line(error, len(lines))
    if found := sorted(slips.near(lines, number, schema)):
        message = "\n".join(f"{name}:{line}: {what}" for line, what, _ in found)
        return ZtgateError(message, found[0][2])
    problem = error.problem or error.context or "not YAML"
    hint = "check the quotes, colons and indentation of this line and of the one before"
    if "single document" in (error.context or ""):
        hint = "one document only: remove the `---` line"
    return ZtgateError(f"{name}:{number}: broken YAML: {problem}", hint)


def _error_line(error: yaml.MarkedYAMLError, last: int) -> int:
    """Where the mistake is: a quote or bracket that nothing closes is noticed at the end only."""
    number = error.problem_mark.line + 1 if error.problem_mark else 1
    if number > last and error.context_mark:
        number = error.context_mark.line + 1
    return min(number, last)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Walks the node tree beside the schema, so it never goes deeper than the schema does."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self.slips: list[Problem] = []

    def read(self, node: yaml.Node, schema: Schema, path: Path) -> Any:
        self.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, schema.get("properties", {}), path)
        if isinstance(node, yaml.SequenceNode):
            if "items" not in schema:
                return []
            return [self.read(item, schema["items"], (*path, i)) for i, item in enumerate(node.value)]
        switch = _switched(node) if "x-switch" in schema else None
        if switch is not None:
            return {schema["x-switch"]: switch}
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
        slip = slips.in_value(node.value, quoted=quoted)
        if schema.get("type") == "object":
            slip = slip or slips.in_words(node.value, self.schema)
        self._slip(node, slip)
        return _scalar(node, schema.get("type", "string"))

    def _mapping(self, node: yaml.MappingNode, properties: Schema, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            self._slip(key_node, slips.in_key(key, self.schema))
            if key in result:
                if key not in properties:
                    continue  # named as unknown already
                where = ".".join(map(str, (*path, key)))
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

    def _slip(self, node: yaml.Node, found: slips.Slip | None) -> None:
        if found:
            self.slips.append((_line(node), *found))


def _switched(node: yaml.Node) -> bool | None:
    """What a word in a whole section's place says; None when it is none of those that YAML 1.1 knows."""
    words: dict[str, bool] = yaml.constructor.SafeConstructor.bool_values
    return words.get(node.value.lower()) if isinstance(node, yaml.ScalarNode) else None


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
