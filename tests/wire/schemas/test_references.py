from __future__ import annotations

from typing import Any

import pytest

from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.schemas.json_schema import enforceable_schema
from kvproxy.wire.schemas.references import References

INT = {"type": "integer"}


def resolved(schema: dict[str, Any]) -> Any:
    """Return the target of the reference under ``properties/x``, in the schema that is compiled."""
    out = enforceable_schema(schema, where="f", param="p")
    at: Any = out["properties"]["x"]
    for _ in range(5):
        if "$ref" not in at:
            break
        place: Any = out
        for step in at["$ref"].split("/")[1:]:
            place = place[step]
        at = place
    return at


def referring(ref: str, **rest: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": {"$ref": ref}, "y": INT}, **rest}


@pytest.mark.parametrize(
    "schema",
    [
        referring("#/$defs/a%20b", **{"$defs": {"a b": INT}}),
        referring("#/definitions/a~1b", definitions={"a/b": INT}),
        referring("#/$defs/a~0b", **{"$defs": {"a~b": INT}}),
        referring("#/$defs/100%25", **{"$defs": {"100%": INT}}),
        referring("#/$defs/%C3%A9%22", **{"$defs": {'é"': INT}}),
        referring("#/properties/y"),
        referring("#/$defs/a/anyOf/1", **{"$defs": {"a": {"anyOf": [{}, INT]}}}),
        referring("#/$defs/a/$defs/b", **{"$defs": {"a": {"$defs": {"b": INT}}}}),
        referring("#here", **{"$defs": {"a": {"$anchor": "here", **INT}}}),
        referring("other", **{"$id": "https://a.example/root", "$defs": {"a": {"$id": "other", **INT}}}),
        referring(
            "https://a.example/b#/$defs/c",
            **{"$defs": {"a": {"$id": "https://a.example/b", "$defs": {"c": INT}}}},
        ),
        referring(
            "urn:x:y#/$defs/z",
            **{"$id": "urn:x:y", "$defs": {"z": INT}},
        ),
    ],
)  # fmt: skip
def test_references_are_followed_to_wherever_they_lead(schema: dict[str, Any]) -> None:
    assert resolved(schema) == INT


def test_a_reference_inside_of_a_resource_is_relative_to_it() -> None:
    inner = {"$id": "inner", "$defs": {"n": INT}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    schema = referring(
        "#/$defs/a", **{"$id": "https://a.example/", "$defs": {"a": inner, "n": {"type": "null"}}}
    )
    out = enforceable_schema(schema, where="f", param="p")
    name = out["$defs"]["a"]["items"]["$ref"].split("/")[-1]
    assert out["$defs"][name] == INT


@pytest.mark.parametrize(
    "ref", ["#/$defs/none", "#none", "https://b.example/", "#/properties/y/type", "#/$defs/a/9"]
)
def test_a_reference_to_the_outside_is_named(ref: str) -> None:
    with pytest.raises(UnsupportedSchema, match="which is not inside the schema"):
        enforceable_schema(referring(ref, **{"$defs": {"a": {}}}), where="f", param="p")


def test_an_id_beside_a_reference_is_refused_where_drafts_differ() -> None:
    beside = {"allOf": [{"$id": "https://a.example/", "$ref": "#/$defs/a"}], "$defs": {"a": INT}}
    with pytest.raises(UnsupportedSchema, match=r"\$id"):
        enforceable_schema(beside, where="f", param="p")


def test_values_are_no_schemas() -> None:
    schema = {"enum": [{"$id": "https://a.example/x", "$anchor": "here"}]}
    assert References(schema).target("https://a.example/x", "") is None
    assert References(schema).target("#here", "") is None
