from __future__ import annotations

from typing import Any

import pytest

from kvproxy.errors import InvalidRequest
from kvproxy.wire.tools.tool_parameters import object_schema

PROPERTIES = {"b": {"type": "string"}, "a": {}}


def schema(value: Any, *, strict: bool = False) -> Any:
    return object_schema(value, name="f", strict=strict, where="tools[0].parameters")


@pytest.mark.parametrize("value", [None, {}, True, False])
def test_nothing_is_declared(value: Any) -> None:
    assert schema(value) is None and schema(value, strict=True) is None


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"properties": PROPERTIES}, {"properties": PROPERTIES}),
        ({"type": "object", "properties": PROPERTIES, "$schema": "x"}, None),
        (
            {"type": ["object", "null"], "properties": PROPERTIES},
            {"type": "object", "properties": PROPERTIES},
        ),
        ({"type": None, "properties": None, "required": None, "title": "t"}, {"title": "t"}),
        ({"type": "string"}, {"type": "object"}),
    ],
)
def test_arguments_are_an_object_for_any_schema(value: Any, read: Any) -> None:
    assert schema(value) == (value if read is None else read)
    assert list(schema({"type": "object", "properties": PROPERTIES})["properties"]) == ["b", "a"]


@pytest.mark.parametrize("value", [[], "{}", 5])
def test_a_value_that_is_no_schema_is_named(value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        schema(value)
    assert caught.value.param == "tools[0].parameters"


def test_a_strict_schema_is_that_of_an_object() -> None:
    assert schema({"type": ["object", "null"]}, strict=True) == {"type": "object"}
    with pytest.raises(InvalidRequest, match="needs a JSON Schema of 'type: \"object\"'"):
        schema({"type": "array"}, strict=True)
