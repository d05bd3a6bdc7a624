from __future__ import annotations

from typing import Any

import pytest

from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.schemas.intersections import MOST_AT_ONCE, expressions_at_once
from kvproxy.wire.schemas.json_schema import enforceable_schema

A, B = {"type": "string", "pattern": "a"}, {"pattern": "b", "format": "email"}


@pytest.mark.parametrize(
    ("schema", "count"),
    [
        ({"type": "string"}, 0),
        (B, 2),
        ({"properties": {"a": A, "b": B, "c": True}}, 2),
        ({"anyOf": [A, B], "pattern": "c"}, 3),
        ({"allOf": [A, B, {"allOf": [A]}]}, 4),
        ({"allOf": [{"properties": {"a": A}}, {"properties": {"a": B}}]}, 3),
        ({"items": [{"prefixItems": [A]}, B], "additionalItems": A}, 2),
        ({"$defs": {"a/b": A}, "allOf": [{"$ref": "#/$defs/a~1b"}, {"$ref": "#/$defs/a~1b"}]}, 2),
        ({"prefixItems": [{**A, "$ref": "#/prefixItems/1"}, B], "additionalProperties": A}, 3),
        ({"$defs": {"a": {**A, "allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, 1),
        ({"$ref": "#/nowhere/0", "items": {"$ref": "#"}}, 0),
    ],
    ids=str,
)
def test_the_number_of_expressions_that_one_text_has_to_match(schema: dict[str, Any], count: int) -> None:
    assert expressions_at_once(schema) == count


def test_too_many_at_once_are_refused() -> None:
    def both(count: int) -> dict[str, Any]:
        return {"allOf": [{"type": "string", "pattern": f"^[a-z]{{0,{i + 5}}}x"} for i in range(count)]}

    assert enforceable_schema(both(MOST_AT_ONCE), where="w", param="p")
    with pytest.raises(UnsupportedSchema, match="'allOf' of more than 8 patterns"):
        enforceable_schema(both(MOST_AT_ONCE + 1), where="w", param="p")
