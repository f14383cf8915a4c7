"""What editors are told is what load.py checks: both refuse the same, and the repository's files pass."""

import copy
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import build
from builder import docs, load, schema
from builder.errors import BuildError
from builder.image import Image

from .test_load import MISTAKES, ROOT, VPS, images

IMAGE = jsonschema.Draft202012Validator(
    schema.image(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
FILES = sorted((ROOT / "images").glob("*.yaml"))
# What no schema can say: it sees one file, once it is YAML.
UNSEEN = ("there is no images/", "extends itself", "no valid YAML")


def plain(data: Any) -> Any:
    """As an editor sees it: YAML 1.2 has no dates."""
    return json.loads(json.dumps(data, default=datetime.date.isoformat))


def passes(data: Any) -> bool:
    return bool(IMAGE.is_valid(plain(data)))


def merged(path: Path) -> dict[str, Any]:
    return load._extended(path, ())[0]


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_each_is_a_schema_and_published_as_it_is(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema.SCHEMAS[name]())
    page = docs.SCHEMAS / f"{name}.schema.json"
    assert page.read_text() == schema.text(name), "run: ./build.py run python -m builder.docs"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_passes_and_names_the_schema(path: Path) -> None:
    text = path.read_text()
    IMAGE.validate(plain(yaml.safe_load(text)))
    IMAGE.validate(plain(merged(path)))
    line = text.splitlines()[0]
    assert line.startswith("# yaml-language-server: $schema=")
    assert (path.parent / line.partition("=")[2]).samefile(docs.SCHEMAS / "image.schema.json")


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_what_load_refuses_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    directory = images(tmp_path, VPS.replace(*change))
    base = directory / "base.yaml"
    base.write_text(base.read_text().replace(*change))
    if any(text in message for text in UNSEEN):
        return
    read = [yaml.safe_load(path.read_text()) for path in directory.iterdir()]
    assert not all(map(passes, [*read, merged(directory / "vps.yaml")]))


VALUES: tuple[Any, ...] = (
    3,
    True,
    None,
    "",
    "x",
    "A b",
    "auto",
    "8G",
    "2026-01-02",
    "2026-13-40",
    [],
    [3],
    ["x"],
    [{}],
    {},
    ["A b"],
)


def mutants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each image's definition with one key, or one of a partition, missing, unknown or something else."""
    for name in load.names(ROOT / "images"):
        whole = merged(ROOT / "images" / f"{name}.yaml")
        places = [(), *(("partitions", i) for i in range(len(whole["partitions"])))]
        for place in places:
            at = whole if not place else whole["partitions"][place[1]]
            for key in [*at, "lable"]:
                for value in (mutants, *VALUES):  # itself: missing
                    changed = copy.deepcopy(whole)
                    below = changed if not place else changed["partitions"][place[1]]
                    if value is mutants:
                        below.pop(key, None)
                    else:
                        below[key] = value
                    yield f"{name}: {place} {key}: {value!r}", changed
        yield f"{name}: root first", {**whole, "partitions": whole["partitions"][::-1]}


def said_of(data: dict[str, Any]) -> str:
    """What load.py says of a definition; nothing if it passes."""
    try:
        load._check(load.record(Image, {**data, "name": "x"}, "images/x.yaml", ""), "images/x.yaml")
    except BuildError as e:
        return e.message
    return ""


def test_both_agree_on_every_change() -> None:
    """But for the order of partitions, of which a schema can say nothing."""
    differ = []
    for what, data in mutants():
        if "description" not in data:  # a file to be extended, not an image
            continue
        said = said_of(data)
        if passes(data) != (not said) and "the root must be the last" not in said:
            differ.append(f"{what}: load.py says: {said or 'fine'}")
    assert differ == []


def test_the_verb(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert build.main(["schema", "image"]) == 0
    assert json.loads(capsys.readouterr().out) == schema.image()
    assert build.main(["schema", "--out", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "gateway.schema.json",
        "image.schema.json",
    ]
    assert build.main(["schema"]) == 1
    assert "hint:  ./build.py schema gateway" in capsys.readouterr().err
