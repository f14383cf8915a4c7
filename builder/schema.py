"""JSON Schemas for editors: gateway.yaml's, and that of images/*.yaml, made from what load.py checks by."""

from __future__ import annotations

import dataclasses
import datetime
import json
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from builder.image import BIOS, Image, keys, wanted
from builder.load import EXTENDS
from builder.project import ROOT

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GATEWAY = ROOT / "firstboot" / "gateway.schema.json"
KINDS = {
    str: {"type": "string"},
    # As text: JSON has no dates, and editors read YAML 1.2, which has none either.
    datetime.date: {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
}


def gateway() -> Schema:
    """What may be in gateway.yaml: the appliance's own schema."""
    found: Schema = json.loads(GATEWAY.read_text(encoding="utf-8"))
    return found


def image() -> Schema:
    """What may be in a file of images/. With `extends`, what is not there comes from the other file."""
    made = _of(Image)
    required = made.pop("required")
    del made["properties"]["name"]  # the file's name says it
    required.remove("name")
    made["properties"] = {
        EXTENDS: {"description": "another file of images/ that this one adds to", "type": "string"},
        **made["properties"],
    }
    partitions = made["properties"]["partitions"]
    partitions["items"]["allOf"] = [_only_a_root_grows()]
    return {
        "$schema": DIALECT,
        "title": "images/*.yaml",
        "description": Image.__doc__,
        **made,
        # A file without a description is there to be extended.
        "if": {"required": ["description"], "not": {"required": [EXTENDS]}},
        "then": {"required": required},
        "allOf": [*_disks()],
    }


SCHEMAS = {"gateway": gateway, "image": image}


def text(name: str) -> str:
    """A schema as a file has it."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def write(directory: Path, names: Iterable[str]) -> list[Path]:
    """Each schema as a file of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {directory / f"{name}.schema.json": text(name) for name in names}
    for path, content in files.items():
        path.write_text(content, encoding="utf-8")
    return list(files)


def _of(kind: Any) -> Schema:
    hints = typing.get_type_hints(kind)
    fields = keys(kind)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _property(hints[field.name], field) for field in fields},
        "required": [field.name for field in fields if field.default is dataclasses.MISSING],
    }


def _property(hint: Any, field: dataclasses.Field[Any]) -> Schema:
    made: Schema = {"description": field.metadata["help"]}
    if typing.get_origin(hint) is tuple:
        made |= {"type": "array", "items": _item(typing.get_args(hint)[0], field)}
    else:
        made |= _item(hint, field)
    if field.default not in (dataclasses.MISSING, ""):
        made["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    return made


def _item(hint: Any, field: dataclasses.Field[Any]) -> Schema:
    made: Schema = {**KINDS[hint]} if hint in KINDS else _of(hint)
    if field.metadata["choices"]:
        made["enum"] = list(field.metadata["choices"])
    if form := field.metadata["form"]:
        made["pattern"] = f"^(?:{form.pattern})$"
    return made


def _only_a_root_grows() -> Schema:
    other: Schema = {"required": ["type"], "properties": {"type": {"not": {"const": "root"}}}}
    return {"if": other, "then": {"properties": {"size": {"not": {"const": "auto"}}}}}


def _disks() -> list[Schema]:
    """How many partitions of each type there are; `wanted` says it, for each boot and architecture."""
    boot, architecture = BIOS
    bios: Schema = {"properties": {"boot": {"const": boot}, "architecture": {"const": architecture}}}
    told: Schema = {"required": ["boot", "architecture", "partitions"]}
    return [
        {"if": {**told, **bios}, "then": _partitions(wanted(boot, architecture))},
        {"if": {**told, "not": bios}, "then": _partitions(wanted("", ""))},
    ]


def _partitions(counts: dict[str, int]) -> Schema:
    """Exactly so many of each type."""
    rules = [
        {
            "contains": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "minContains": count,
            "maxContains": count,
        }
        for kind, count in counts.items()
    ]
    return {"properties": {"partitions": {"allOf": rules}}}
