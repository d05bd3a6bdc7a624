"""A small value for a JSON schema, for a backend that has no model to think of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.errors import UnsupportedSchema

_DEPTH = 16
_LONGEST = 1000
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def example_of(schema: Mapping[str, Any]) -> Any:
    """Return a value that is valid for the common keywords: types, enums, unions, references, required properties,
    bounds, formats. Patterns are not read. Raises UnsupportedSchema where a keyword has a value that it cannot
    have."""
    try:
        return _example(schema, schema, 0)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as e:
        raise UnsupportedSchema("This is no JSON schema that the fake model can read.") from e


def _example(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return {} if schema is True else None
    if "$ref" in schema:
        return _example(_resolved(schema["$ref"], root), root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("allOf"):
        return _example(_merged(schema, root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _example(min(schema[key], key=_size), root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else None)
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "string":
            text = _FORMATS.get(schema.get("format", ""), "text")
            return text.ljust(min(schema.get("minLength", 0), _LONGEST), "x")[: schema.get("maxLength")]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "array":
            prefix = [_example(item, root, depth + 1) for item in schema.get("prefixItems", ())]
            more = max(0, min(schema.get("minItems", 0), _LONGEST) - len(prefix))
            return prefix + [_example(schema.get("items", True), root, depth + 1)] * more
        case "null":
            return None
    properties = schema.get("properties", {})
    return {
        name: _example(properties.get(name, True), root, depth + 1) for name in schema.get("required", ())
    }


def _number(schema: Mapping[str, Any]) -> int | float:
    step = schema.get("multipleOf", 1)
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is None:
        return 0 if most is None or most > 0 or most == schema.get("maximum") == 0 else most - step
    value: int | float = -(-least // step) * step
    return value + step if value == schema.get("exclusiveMinimum") else value


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        for _ in range(_DEPTH):
            if "$ref" in part:
                part = _resolved(part["$ref"], root)
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, ()), *value]
            else:
                merged.setdefault(key, value)
    return merged


def _resolved(ref: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in ref.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        found = found[int(step)] if isinstance(found, Sequence) else found[step]
    return found


def _size(schema: Any) -> int:
    return len(str(schema))
