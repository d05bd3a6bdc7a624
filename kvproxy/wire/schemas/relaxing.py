"""Relaxes a schema to the part that can be enforced, for clients that did not demand all of it. Pure.

Leaving an assertion out only ever admits more. The rest is a schema that the grammar library compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.schemas.blamed_keyword import blamed_keyword
from kvproxy.wire.schemas.json_schema import enforceable_schema

Check = Callable[[Mapping[str, Any]], str | None]
"""Returns the library's reason for rejecting a schema alone; None where it compiles."""

_TOGETHER = {
    "minimum/maximum": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "minProperties": ("minProperties", "maxProperties"),
    "patternProperties": ("patternProperties", "additionalProperties"),
}
_ORDER = (
    "oneOf", "pattern", "patternProperties", "format", "multipleOf", "minimum/maximum", "minProperties",
    "minItems", "maxItems", "minLength", "maxLength", "$ref", "const", "enum", "allOf", "anyOf", "required",
    "properties", "items", "prefixItems",
)  # fmt: skip
"""Keywords in the order in which they are given up when the library's message names none."""

_SUSPECTS = ("multipleOf", *(keyword for keyword in _ORDER if keyword != "multipleOf"))
"""The same, with the one first that takes the most work for the fewest characters."""

_ALONE = frozenset(("pattern", "format", "multipleOf", "oneOf", "minimum/maximum", "const", "enum"))
"""Keywords that assert something about their own node alone: each can be tried by itself."""

MOST_TRIED = 64
"""Nodes tried by themselves for one keyword; beyond that it is dropped everywhere."""


@dataclass(frozen=True, slots=True)
class RelaxedSchema:
    """The part of a schema that can be enforced, and the keywords left out of it."""

    schema: dict[str, Any]
    left_out: tuple[str, ...]
    """Keywords, each once."""


def relax_schema(schema: Mapping[str, Any], *, where: str, param: str, check: Check) -> RelaxedSchema:
    """Return as much of a schema as can be enforced. Never refuses: of an unreadable schema, the type is kept.

    Example: ``relax_schema({"not": {"const": 1}}, where="x", param="x", check=lambda schema: None).left_out``.
    """
    left: dict[str, None] = {}
    try:
        out = enforceable_schema(schema, where=where, param=param, relaxed=left)
    except UnsupportedSchema:
        return RelaxedSchema(_type_alone(schema), (*left, "schema"))
    reason = check(out)
    tried: set[str] = set()
    while reason is not None:
        keyword = _next(out, blamed_keyword(reason) or culprit(out, check), tried)
        if keyword is None:
            return RelaxedSchema(_type_alone(schema), (*left, "schema"))
        tried.add(keyword)
        out = _without(out, keyword, check)
        left[keyword] = None
        reason = check(out)
    return RelaxedSchema(out, tuple(left))


def culprit(schema: Mapping[str, Any], check: Check) -> str | None:
    """Return the keyword without which ``check`` takes a rewritten ``schema``; None when it is no single one."""
    for keyword in _SUSPECTS:
        keys = _TOGETHER.get(keyword, (keyword,))
        having = {id(node) for node in _nodes(schema) if node.keys() & set(keys)}
        if having and check(_dropped(schema, keys, having)) is None:
            return keyword
    return None


def _next(schema: Any, named: str | None, tried: set[str]) -> str | None:
    """Return the next keyword to drop."""
    order = _ORDER if named is None else (named, *_ORDER)
    found = {key for node in _nodes(schema) for key in node}
    return next((k for k in order if k not in tried and found & set(_TOGETHER.get(k, (k,)))), None)


def _without(schema: dict[str, Any], keyword: str, check: Check) -> dict[str, Any]:
    """Drop ``keyword`` where it is at fault, or everywhere when no place of it is by itself."""
    keys = _TOGETHER.get(keyword, (keyword,))
    nodes = [
        node for node in _nodes(schema) if keys[0] in node or (len(keys) > 2 and node.keys() & set(keys))
    ]
    guilty = nodes
    if keyword in _ALONE and 1 < len(nodes) <= MOST_TRIED:
        definitions: dict[str, Any] = {k: schema[k] for k in ("$defs", "definitions") if k in schema}
        guilty = [node for node in nodes if check({**definitions, **node}) is not None] or nodes
    ids = {id(node) for node in guilty}
    out = _dropped(schema, keys, ids)
    assert isinstance(out, dict)
    return out


def _dropped(value: Any, keys: tuple[str, ...], ids: set[int]) -> Any:
    if isinstance(value, list):
        return [_dropped(item, keys, ids) for item in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, inner in value.items():
        if key in ("const", "enum"):
            kept = inner
        elif key in ("properties", "patternProperties", "$defs", "definitions"):
            kept = {name: _dropped(schema, keys, ids) for name, schema in inner.items()}
        else:
            kept = _dropped(inner, keys, ids)
        if id(value) not in ids or key not in keys:
            out[key] = kept
        elif key == "oneOf" and "anyOf" not in value:
            out["anyOf"] = kept  # relaxed: more than one branch may hold
    return out


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema in a rewritten one."""
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key in ("properties", "patternProperties", "$defs", "definitions"):
                for schema in inner.values():
                    yield from _nodes(schema)
            elif key not in ("const", "enum"):
                yield from _nodes(inner)


def _type_alone(schema: Mapping[str, Any]) -> dict[str, Any]:
    kind = schema.get("type", "object" if "properties" in schema else None)
    known = {"object", "array", "string", "number", "integer", "boolean", "null"}
    kinds = [k for k in (kind if isinstance(kind, list) else [kind]) if isinstance(k, str) and k in known]
    return {"type": kinds} if kinds else {}
