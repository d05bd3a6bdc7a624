"""Rewriting a client's schema. That a grammar enforces it is in tests/engine/decode/test_compiled_grammars.py."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.schemas.json_schema import enforceable_schema, no_arguments


def rewritten(schema: dict[str, Any]) -> dict[str, Any]:
    return enforceable_schema(schema, where="response_format", param="response_format")


def test_keywords_without_an_assertion_are_left_out_at_every_depth() -> None:
    noise = {
        "title": "T",
        "description": "d",
        "default": 1,
        "examples": [1],
        "x-guidance": {},
        "strict": True,
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/s",
        **noise,
        "type": "object",
        "properties": {"title": {**noise, "type": "string"}, "description": {"enum": ["title"], **noise}},
        "required": ["title"],
        "additionalProperties": False,
    }
    assert rewritten(schema) == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "description": {"enum": ["title"]}},
        "required": ["title"],
        "additionalProperties": False,
    }


def test_the_clients_schema_is_not_modified() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "date"}}, "title": "T"}
    before = repr(schema)
    rewritten(schema)
    assert repr(schema) == before


def test_only_definitions_that_are_reached_come_along() -> None:
    schema = {
        "$defs": {
            "Used": {"type": "array", "items": {"$ref": "#/$defs/Deep"}},
            "Deep": {"type": "null"},
            "No": {},
        },
        "$ref": "#/$defs/Used",
    }
    assert rewritten(schema)["$defs"].keys() == {"Used", "Deep"}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        ({"properties": {"a": {}}}, True),
        ({"properties": {"a": {}}, "required": ["a"]}, True),
        ({"properties": {"a": {}}, "required": ["a", "b"]}, False),
        ({"properties": {"a": {}}, "minProperties": 2, "required": ["a"]}, False),
        ({"properties": {"a": {}}, "additionalProperties": True}, False),
        ({"properties": {"a": {}}, "patternProperties": {"^x": {}}}, False),
        ({"properties": {}}, False),
        ({}, False),
        # Elsewhere, another schema looks at the same object, or tells branches apart by it.
        ({"properties": {"a": {"allOf": [{}]}}}, False),
        ({"properties": {"a": {"oneOf": [{"type": "null"}]}}}, False),
        ({"properties": {"a": {"anyOf": [{"type": "null"}]}}}, True),
        ({"properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, False),
    ],
)
def test_an_object_is_closed_where_nothing_else_looks_at_it(schema: dict[str, Any], closed: bool) -> None:
    assert (rewritten({"type": "object", **schema}).get("additionalProperties") is False) is closed


def test_branches_of_one_of_are_seen_through_references() -> None:
    schema = {
        "$defs": {"A": {"const": "a"}, "B": {"$ref": "#/$defs/C"}, "C": {"const": "c"}},
        "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
    }
    assert rewritten(schema)["oneOf"] == [{"const": "a"}, {"const": "c"}]


def test_a_branch_that_refers_to_itself_stays_a_reference() -> None:
    schema = {"$defs": {"A": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/A"}]}}, "$ref": "#/$defs/A"}
    assert rewritten(schema)["$defs"]["A"]["oneOf"][1] == {"$ref": "#/$defs/A"}


@pytest.mark.parametrize(
    ("schema", "at", "keyword"),
    [
        ({"properties": {"a": {"items": {"not": {"type": "null"}}}}}, "#/properties/a/items", "not"),
        ({"$defs": {"A": {"contains": {}}}, "$ref": "#/$defs/A"}, "#/$defs/A", "contains"),
        ({"anyOf": [{}, {"uniqueItems": True}]}, "#/anyOf/1", "uniqueItems"),
        ({"properties": {"a": 3}}, "#/properties/a", "neither an object nor a boolean"),
        ({"items": {"properties": []}}, "#/items", "properties"),
        ({"items": {"anyOf": []}}, "#/items", "anyOf"),
        ({"properties": {"a": {"type": "string", "required": True}}}, "#/properties/a", "required"),
        ({"items": {"required": [{}]}}, "#/items", "required"),
        ({"items": {"enum": "a"}}, "#/items", "enum"),
        ({"items": {"propertyNames": {"enum": True}}}, "#/items", "propertyNames"),
        ({"items": {"$defs": []}}, "#/items", "$defs"),
        ({"items": {"properties": {"a": {}}, "minProperties": "1"}}, "#/items", "minProperties"),
    ],
)
def test_a_refusal_names_the_keyword_and_its_place(schema: dict[str, Any], at: str, keyword: str) -> None:
    with pytest.raises(UnsupportedSchema) as caught:
        enforceable_schema(schema, where="function 'f'", param="tools[0].function.parameters")
    assert keyword in caught.value.message
    assert f"(at {at})" in caught.value.message
    assert "function 'f'" in caught.value.message
    assert caught.value.param == "tools[0].function.parameters"


@pytest.mark.parametrize(
    ("bound", "value", "kept"),
    [
        ("maximum", 2**53, 2**53),
        ("maximum", 2**63 - 1, 9223372036854770000),
        ("minimum", -(2**63), -9223372036854770000),
        ("minimum", 2**63 - 1, 9223372036854780000),
        ("maximum", -(2**63), -9223372036854780000),
        ("exclusiveMaximum", 1.5, 1.5),
        ("exclusiveMinimum", True, True),
    ],
)
def test_bounds_move_inwards(bound: str, value: float, kept: float) -> None:
    assert rewritten({"type": "integer", bound: value}) == {"type": "integer", bound: kept}


@pytest.mark.parametrize(
    ("parameters", "none"),
    [
        (None, True),
        ({}, True),
        ({"type": "object", "properties": {}, "required": []}, True),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, False),
        ({"type": "object", "properties": {"a": {}}}, False),
        ({"$ref": "#/$defs/A", "$defs": {"A": {}}}, False),
        ({"type": "object", "description": "nothing"}, True),
    ],
)
def test_parameters_that_name_nothing(parameters: dict[str, Any] | None, none: bool) -> None:
    assert no_arguments(parameters) is none


def doubling(levels: int) -> dict[str, Any]:
    """Each definition names the next one twice."""
    definitions: dict[str, Any] = {
        f"d{i}": {"oneOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)
    }
    return {"$defs": {**definitions, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def test_branches_written_out_cannot_fill_the_memory() -> None:
    assert rewritten(doubling(4))
    with pytest.raises(UnsupportedSchema, match="more than 100000 parts"):
        rewritten(doubling(40))


def test_a_schema_that_is_too_deep_is_a_refusal() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"items": schema}
    with pytest.raises(UnsupportedSchema, match="too deeply"):
        rewritten(schema)


def test_half_of_a_surrogate_pair_is_a_refusal_where_it_would_reach_the_grammar() -> None:
    assert rewritten({"const": "a", "title": "\ud800"}) == {"const": "a"}
    with pytest.raises(UnsupportedSchema, match="surrogate"):
        rewritten({"properties": {"a": {"enum": ["\ud800"]}}})
