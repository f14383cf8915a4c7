"""Writes docs/configuration.md from the JSON Schema of gateway.yaml, so that the two cannot part.

./build.py run python -m builder.docs
"""

import json
from collections.abc import Iterator
from typing import Any

from builder.project import ROOT

SCHEMA = ROOT / "firstboot" / "gateway.schema.json"
PAGE = ROOT / "docs" / "configuration.md"

Schema = dict[str, Any]

HEAD = """# gateway.yaml

<!-- Made by `./build.py run python -m builder.docs` from firstboot/gateway.schema.json. -->

{description}

Only `network` is required; with ZeroTier Central add `controller.token`. Unknown keys are errors.
"""


def render(schema: Schema) -> str:
    """The page, as Markdown."""
    parts = [HEAD.format(description=schema["description"])]
    plain = {key: part for key, part in schema["properties"].items() if part["type"] != "object"}
    parts += [_entry(key, part, key in schema["required"]) for key, part in plain.items()]
    for section, part in schema["properties"].items():
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


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(json.loads(SCHEMA.read_text())))


if __name__ == "__main__":
    main()
