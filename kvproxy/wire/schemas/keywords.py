"""Keywords of JSON schema, as a grammar takes them: enforced, refused, or idle in some values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

KEPT = frozenset(
    "$ref additionalItems additionalProperties allOf anyOf const enum exclusiveMaximum exclusiveMinimum format "
    "items maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf oneOf "
    "pattern patternProperties prefixItems properties required type".split()
)
"""Keywords that the grammar library enforces. Any other keyword is refused below, or asserts nothing and is left out:
``x-guidance`` in a client's schema must not reach the library."""

REFUSED = (
    "not if then else dependentRequired dependentSchemas dependencies contains uniqueItems propertyNames "
    "unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef disallow extends divisibleBy"
).split()
"""Assertions of some draft of JSON schema that no grammar here enforces; IDLE has exceptions."""

EXACT_INT = 2**53
"""The library reads numbers as 64-bit floats."""

SHARING = ("allOf", "oneOf")
BESIDE = ("anyOf", "$ref")
BRANCHING = ("if", "then", "else", "dependentSchemas", "$dynamicRef")
"""Further keywords that may apply to an object's properties."""


def nodes(value: Any) -> Iterator[Schema]:
    """Yield everything in a schema that could be one; a superset does no harm."""
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def shares_objects(node: Schema) -> bool:
    """Return whether several schemas may apply to one object.

    Closing one of them would change the values that all admit.
    """
    return bool(node.keys() & {*SHARING}) or (
        bool(node.keys() & {*BESIDE})
        and bool(node.keys() & {"properties", "required", "additionalProperties"})
    )


def size_of(value: Any, known: dict[int, int]) -> int:
    """Return the number of values in ``value`` as it is written; a shared one counts each time.

    ``known``: sizes by id (modified).
    """
    if not isinstance(value, dict | list):
        return 1
    size = known.get(id(value))
    if size is None:
        inner = value.values() if isinstance(value, dict) else value
        size = known[id(value)] = 1 + sum(size_of(item, known) for item in inner)
    return size


IDLE: dict[str, Callable[[Schema], bool]] = {
    "uniqueItems": lambda node: node["uniqueItems"] is False or node.get("maxItems", 2) in (0, 1),
    "if": lambda node: "then" not in node and "else" not in node,
    "then": lambda node: "if" not in node,
    "else": lambda node: "if" not in node,
    "dependentRequired": lambda node: not node["dependentRequired"],
    "dependentSchemas": lambda node: not node["dependentSchemas"],
    "dependencies": lambda node: not node["dependencies"],
    "not": lambda node: node["not"] is False,
    "propertyNames": lambda node: node["propertyNames"] in (True, {}, {"type": "string"}),
    "unevaluatedProperties": lambda node: node["unevaluatedProperties"] in (True, {}),
    "unevaluatedItems": lambda node: node["unevaluatedItems"] in (True, {}),
}


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
"""``2.0`` is one, too."""


def are_names(value: Any) -> bool:
    """Return whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


SHAPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "required": ("a list of names", are_names),  # a boolean in a property is draft 3's
    "enum": ("a list", lambda value: isinstance(value, list)),
    "properties": ("an object", lambda value: isinstance(value, Mapping)),
    "patternProperties": ("an object", lambda value: isinstance(value, Mapping)),
    "propertyNames": ("a schema", lambda value: isinstance(value, Mapping | bool)),
    "$defs": ("an object", lambda value: isinstance(value, Mapping)),
    "definitions": ("an object", lambda value: isinstance(value, Mapping)),
    "minProperties": ("a count", _count),
    "maxProperties": ("a count", _count),
}
"""Keywords with values that are read here, so they must have the shape that JSON schema gives them; the library checks
the rest."""


def asserts_only(node: Schema, keyword: str) -> bool:
    """Return whether a schema of strings asserts this keyword alone."""
    return keyword in node and node.keys() & (KEPT | set(REFUSED)) <= {"type", keyword}


def exact_bound(bound: Any, *, above: bool) -> Any:
    """Return a bound that the library reads exactly: beyond 2**53 with 15 digits, moved inwards."""
    if isinstance(bound, bool) or not isinstance(bound, int) or abs(bound) <= EXACT_INT:
        return bound
    step: int = 10 ** (len(str(abs(bound))) - 15)
    return -(-bound // step) * step if above else bound // step * step


def beyond_exact_int(value: Any) -> bool:
    """Return whether a value has an integer beyond ``EXACT_INT`` in it, at any depth."""
    if isinstance(value, list):
        return any(beyond_exact_int(item) for item in value)
    if isinstance(value, Mapping):
        return any(beyond_exact_int(item) for item in value.values())
    return isinstance(value, int) and abs(value) > EXACT_INT
