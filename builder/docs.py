"""Writes docs/configuration.md, docs/schema/ and docs/clouds/ from the schemas and builder/targets/.

./build.py run python -m builder.docs
"""

import json
from collections.abc import Iterator
from typing import Any

from builder import schema, targets
from builder.formats import FORMATS
from builder.project import ROOT

SCHEMA = schema.GATEWAY
SCHEMAS = ROOT / "docs" / "schema"
PAGE = ROOT / "docs" / "configuration.md"

CLOUDS = ROOT / "docs" / "clouds"

Schema = dict[str, Any]

HEAD = """# gateway.yaml

<!-- Made by `./build.py run python -m builder.docs` from firstboot/gateway.schema.json. -->

{description}

Only `network` is required; with ZeroTier Central add `controller.token`. Unknown keys are errors.
"""


def render(given: Schema) -> str:
    """The page, as Markdown."""
    parts = [HEAD.format(description=given["description"])]
    plain = {key: part for key, part in given["properties"].items() if part["type"] != "object"}
    parts += [_entry(key, part, key in given["required"]) for key, part in plain.items()]
    for section, part in given["properties"].items():
        if part["type"] == "object":
            parts.append(f"## {section}\n\n{part['description']}\n")
            parts += [_entry(f"{section}.{key}", below, False) for key, below in part["properties"].items()]
    return "\n".join(parts)


def _entry(key: str, part: Schema, required: bool) -> str:
    facts = "; ".join(_facts(part, required))
    return f"### `{key}`\n\n{part['title']}. {part['description']}\n\n{facts}.\n"


def _facts(part: Schema, required: bool) -> Iterator[str]:
    if required:
        yield "Required"
    if "enum" in part:
        yield "One of " + ", ".join(f"`{value}`" for value in part["enum"])
    if what := part.get("x-what") or part.get("items", {}).get("x-what"):
        yield ("A list; each: " if part["type"] == "array" else "Takes ") + what
    if "minimum" in part:
        yield f"From {part['minimum']} to {part['maximum']}"
    if part["type"] == "boolean":
        yield "`true` or `false`"
    if "default" in part:
        yield f"Default: `{json.dumps(part['default'])}`" if part["default"] is not None else "Default: none"
    if part.get("examples"):
        yield f"Example: `{json.dumps(part['examples'][-1])}`"


CLOUD = """# {title}

<!-- Made by `./build.py run python -m builder.docs` from builder/targets/{name}.yaml. -->

{tried}

    ./build.py build {image}
    ./build.py check {image} --target {name}
    ./build.py export {image} --target {name}

The last one makes `out/{image}-export/{image}{suffix}`, and beside it checksums, a manifest and SBOMs.
{data}
## There

{guide}
## What it needs

{needs}
## What it will not give

{limits}"""
TRIED = {
    True: "A gateway was started there from this image.",
    False: "**Unverified:** nobody has told us yet how it went. The image fits by what is said below.",
}
USER_DATA = """
Either the image is configured before, and then as secret as its token:

    ./build.py configure out/{image}.img --config gateway.yaml
    ./build.py export {image} --target {name}

or it stays as it is, and the gateway gets this as `user-data.yaml`:

    #cloud-config
    write_files:
      - path: /etc/ztgate/gateway.yaml
        permissions: "0600"
        content: |
          network: 8056c2e21c000001
          controller: {{token: "your API token"}}
"""


def cloud(target: targets.Target) -> str:
    """The page of a place."""
    has_user_data = any(need.need == "datasource" for need in target.needs)
    values = {"name": target.name, "image": target.image}
    return CLOUD.format(
        **values,
        title=target.title,
        tried=TRIED[target.tried],
        suffix=FORMATS[target.format].suffix,
        data=USER_DATA.format(**values) if has_user_data else "",
        guide=target.guide,
        needs="".join(f"- {need.need}: {need.because} ({_source(need)})\n" for need in target.needs),
        limits="".join(f"- {limit.says} ({_source(limit)})\n" for limit in target.limits),
    )


def _source(row: targets.Need | targets.Limit) -> str:
    source = f"<{row.source}>" if row.source.startswith("http") else row.source
    day = "" if row.seen == targets.NEVER else f", {row.seen}"
    return f"{row.confidence}: {source}{day}"


def main() -> None:
    """Write the pages."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(json.loads(SCHEMA.read_text())))
    schema.write(SCHEMAS, schema.SCHEMAS)
    CLOUDS.mkdir(exist_ok=True)
    for name in targets.names():
        (CLOUDS / f"{name}.md").write_text(cloud(targets.load(name)))


if __name__ == "__main__":
    main()
