"""Keywords that are given up with a library that refuses some things; the real one's answers are in tests/engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kvproxy.wire.schemas.relaxing import relax_schema


def accepts(schema: Mapping[str, Any]) -> str | None:
    return None


def run(schema: dict[str, Any], check: Any = accepts) -> tuple[dict[str, Any], tuple[str, ...]]:
    found = relax_schema(schema, where="f", param="p", check=check)
    return found.schema, found.left_out


def test_each_keyword_is_named_once_and_the_rest_stays() -> None:
    items = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"a": items, "b": items}, "required": ["a"]}
    out, left = run(schema)
    assert left == ("uniqueItems",)
    assert out["properties"]["a"] == {"type": "array", "items": {"type": "integer"}}
    assert out["required"] == ["a"]


def test_only_the_pattern_that_is_to_blame_goes() -> None:
    def check(schema: Mapping[str, Any]) -> str | None:
        return "look-around in regex" if "(?=" in json.dumps(schema) else None

    good, bad = {"type": "string", "pattern": "^a$"}, {"type": "string", "pattern": "(?=a)", "minLength": 1}
    out, left = run({"type": "object", "properties": {"g": good, "b": bad}}, check)
    assert left == ("pattern",)
    assert out["properties"] == {"g": good, "b": {"type": "string", "minLength": 1}}


def test_one_of_becomes_any_of() -> None:
    def check(schema: Mapping[str, Any]) -> str | None:
        return "oneOf constraints are not supported" if "oneOf" in json.dumps(schema) else None

    out, left = run({"oneOf": [{"type": "integer"}, {"type": "number"}]}, check)
    assert (out, left) == ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, ("oneOf",))


def test_an_object_without_its_pattern_properties_is_open() -> None:
    out, left = run({"type": "object", "patternProperties": {"[]": {}}, "additionalProperties": False})
    assert left == ("patternProperties",)
    assert out.get("additionalProperties", {}) == {}


def test_an_unexplained_rejection_drops_keywords_down_to_the_type() -> None:
    out, left = run(
        {"type": "object", "properties": {"a": {"enum": [1]}}},
        lambda schema: "no" if len(schema) > 1 else None,
    )
    assert out["type"] in ("object", ["object"])
    assert left


def test_an_unreadable_schema_is_relaxed_to_its_type() -> None:
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"items": deep}
    assert run({"type": "array", "items": deep}) == ({"type": ["array"]}, ("schema",))
    assert run({"type": "string", "enum": ["\ud800"]}) == ({"type": ["string"]}, ("schema",))


def test_malformed_and_foreign_parts_are_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "required": True}, "b": {"$ref": "https://example.com/x"}},
    }
    out, left = run(schema)
    assert left == ("required", "$ref")
    assert out["properties"] == {"a": {"type": "string"}, "b": {}}
