"""images/*.yaml to Image: `extends`, types, errors that name the file, the key and the nearest valid one."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import difflib
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from builder.errors import BuildError, nearest
from builder.image import Form, Image, keys, wanted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EXTENDS = "extends"
# Lists of these keys add up along `extends`; everything else replaces.
ADDING = ("packages", "remove")
Record = TypeVar("Record", bound="DataclassInstance")


def names(images: Path) -> list[str]:
    """The images that can be built: definitions with a description; others are there to be extended."""
    return [p.stem for p in sorted(images.glob("*.yaml")) if "description" in _read(p)]


def load(images: Path, name: str) -> Image:
    """The definition of an image by its name."""
    known = names(images)
    if name not in known:
        raise BuildError(f"there is no image {name!r}{nearest(name, known)}", "./build.py list")
    path = images / f"{name}.yaml"
    data, _ = _extended(path, ())
    image = record(Image, {**data, "name": name}, f"images/{path.name}", "")
    _check(image, f"images/{path.name}")
    return dataclasses.replace(image, inherited=_inherited(path))


def _inherited(path: Path) -> tuple[str, ...]:
    """The packages of what a definition extends; that these are texts has been checked with all of them."""
    parent = _read(path).get(EXTENDS)
    if parent is None:
        return ()
    data, _ = _extended(path.parent / str(parent), (path,))
    return tuple(data.get("packages", ()))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as e:
        raise BuildError(f"images/{path.name}: no valid YAML: {' '.join(str(e).split())}") from None
    except (OSError, UnicodeDecodeError) as e:
        raise BuildError(f"images/{path.name}: {e}") from None
    if not isinstance(data, dict):
        raise BuildError(f"images/{path.name}: a definition is a mapping of keys to values")
    return data


def _extended(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], tuple[Path, ...]]:
    if path in seen:
        raise BuildError(f"images/{path.name}: extends itself by way of {', '.join(p.name for p in seen)}")
    if not path.is_file():
        raise BuildError(f"images/{seen[-1].name}: extends: there is no images/{path.name}")
    data = _read(path)
    parent = data.pop(EXTENDS, None)
    if parent is None:
        return data, (*seen, path)
    base, seen = _extended(path.parent / str(parent), (*seen, path))
    base.pop("description", None)
    for key in ADDING:
        if key in base and key in data:
            both = (base[key], data[key])
            data[key] = next((x for x in both if not isinstance(x, list)), None) or [*both[0], *both[1]]
    return {**base, **data}, seen


def record(kind: type[Record], data: Any, file: str, at: str) -> Record:
    """A mapping as the frozen dataclass of its kind; `at` is where we are, as `partitions[1].`."""
    if not isinstance(data, dict):
        raise BuildError(f"{file}: {at.rstrip('.')}: a mapping of keys to values is needed, not {data!r}")
    fields = {f.name: f for f in keys(kind)}
    for key in data:
        if key not in fields:
            raise BuildError(f"{file}: {at}{key}: no such key{nearest(str(key), fields)}")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, spec in fields.items():
        if name in data:
            values[name] = _value(hints[name], data[name], file, f"{at}{name}")
            _choice(values[name], spec.metadata["choices"], file, f"{at}{name}")
            _form(values[name], spec.metadata["form"], file, f"{at}{name}")
        elif spec.default is dataclasses.MISSING:
            raise BuildError(f"{file}: {at}{name}: missing; it says {spec.metadata['help']}")
    return kind(**values)


def _value(hint: Any, value: Any, file: str, at: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise BuildError(f"{file}: {at}: a list is needed, not {value!r}")
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, item, file, f"{at}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return record(hint, value, file, f"{at}.")
    if hint is datetime.date and isinstance(value, str):  # in quotes, as editors may put it
        with contextlib.suppress(ValueError):
            value = datetime.date.fromisoformat(value)
    if type(value) is not hint:
        kinds = {str: "a text", datetime.date: "a date (2026-11-01)"}
        raise BuildError(f"{file}: {at}: {kinds.get(hint, hint.__name__)} is needed, not {value!r}")
    return value


def _choice(value: Any, choices: tuple[str, ...], file: str, at: str) -> None:
    for item in value if isinstance(value, tuple) else (value,):
        if choices and item not in choices:
            near = difflib.get_close_matches(str(item), choices, 1, 0.4) or choices
            raise BuildError(f"{file}: {at}: {item!r} is none of {', '.join(choices)}; nearest: {near[0]}")


def _form(value: Any, form: Form | None, file: str, at: str) -> None:
    items = (
        [(f"{at}[{i}]", item) for i, item in enumerate(value)] if isinstance(value, tuple) else [(at, value)]
    )
    for where, item in items:
        if form and not form.fits(item):
            raise BuildError(f"{file}: {where}: {item!r} {form.problem}")


def _check(image: Image, file: str) -> None:
    """What one key alone cannot say."""
    for i, part in enumerate(image.partitions):
        if part.size == "auto" and part.type != "root":
            raise BuildError(f"{file}: partitions[{i}].size: only a root's size can be auto")
    kinds = [p.type for p in image.partitions]
    for kind, count in wanted(image.boot, image.architecture).items():
        if kinds.count(kind) != count:
            raise BuildError(
                f"{file}: partitions: {'one' if count else 'none'} of type {kind} is needed, "
                f"not {kinds.count(kind)}"
            )
    if kinds[-1] != "root":
        raise BuildError(f"{file}: partitions: the root must be the last one, or it could not grow")
