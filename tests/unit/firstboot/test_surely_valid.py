"""The quick answer about a gateway.yaml: what it vouches for, jsonschema accepts."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from ztgate import config, formats
from ztgate.surely_valid import surely_valid
from ztgate.validate import _accepts
from ztgate.yamltext import parse

SCHEMA = config.schema()
EXAMPLE = {
    "network": "8056c2e21c000001",
    "controller": {"kind": "self-hosted", "url": "http://10.0.0.5:9993/", "token": "secret-1"},
    "gateway": {"name": "home", "address": "10.66.0.1", "takeover": True, "mtu": 1280},
    "firewall": {"inbound": "open", "allow": ["tcp/22", "udp/8000-8100"]},
    "ipv6": {"mode": "off", "prefix": "auto"},
}


def judged(value: Any, schema: dict[str, Any]) -> bool:
    checker = FormatChecker(formats=())
    for name, accepts in formats.CHECKS.items():
        checker.checks(name)(partial(_accepts, accepts))
    return Draft202012Validator(schema, format_checker=checker).is_valid(value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70_000) | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["auto", "off", "tcp/22", "10.0.0.0/8", "8056c2e21c000001", "8056c2e21c000001\n"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(st.data())
def test_it_never_vouches_for_what_jsonschema_refuses(data: st.DataObject) -> None:
    """The example with a value replaced, anywhere: by what a configuration has, and by anything at all."""
    value: Any = json.loads(json.dumps(EXAMPLE))
    sections = SCHEMA["properties"]
    section = data.draw(st.sampled_from(sorted(sections)))
    keys = [*sorted(sections[section].get("properties", {})), "unknown", ""]
    key, new = data.draw(st.sampled_from(keys)), data.draw(ANYTHING)
    if key:
        value[section] = {**(value.get(section, {}) if section != "network" else {}), key: new}
    else:
        value[section] = new
    if surely_valid(value, SCHEMA):
        assert judged(value, SCHEMA)


@pytest.mark.parametrize("text", [
    "network: 8056c2e21c000001",
    "{network: 8056c2e21c000001, ipv6: {mode: off}, page: off, ssh: {from: wan}, gateway: {mtu: 1400}}",
    "{network: 8056c2e21c000001, firewall: {reach: [192.168.1.10], allow: []}, controller: }",
])  # fmt: skip
def test_common_configurations_do_without_jsonschema(text: str) -> None:
    assert surely_valid(parse(text, "g", SCHEMA).value, SCHEMA)
    assert surely_valid(EXAMPLE, SCHEMA)


def test_a_keyword_that_it_does_not_know_is_for_jsonschema() -> None:
    assert surely_valid("a", {"type": "string"})
    assert not surely_valid("a", {"type": "string", "maxLength": 3})
    assert not surely_valid({}, {"type": "object"}), "it may have additional properties"


@pytest.mark.parametrize(("value", "schema"), [
    (True, {"type": "integer"}), (1, {"enum": [True]}), (1, {"minimum": 2}), (3, {"maximum": 2}),
    ("a\n", {"pattern": "^a$"}), ("b", {"enum": ["a"]}), ("", {"minLength": 1}), ("x", {"format": "ipv4"}),
    ("x", {"format": "no such"}), ([], {"minItems": 1}), ([1, 2], {"maxItems": 1}),
    ([1], {"items": {"type": "string"}}),
    ({"a": 1}, {"additionalProperties": False}), ({}, {"additionalProperties": False, "required": ["a"]}),
])  # fmt: skip
def test_what_it_does_not_vouch_for(value: Any, schema: dict[str, Any]) -> None:
    assert not surely_valid(value, schema)


def test_the_example_that_comes_with_the_image() -> None:
    """Filled in: most people change its two lines."""
    example = Path(__file__).parents[3] / "overlays/common/boot/firmware/gateway.yaml.example"
    text = example.read_text().replace(config.PLACEHOLDER, "8056c2e21c000001").replace('""', "secret-1")
    assert surely_valid(parse(text, "g", SCHEMA).value, SCHEMA)
