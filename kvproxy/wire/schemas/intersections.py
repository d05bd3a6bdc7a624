"""The number of expressions that one text may have to match at once under a JSON schema. Pure.

The grammar library looks for a text that matches all of them, in a time that may double with each: thirty patterns in
one ``allOf`` keep a core busy for hours, and nothing can stop it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvproxy.wire.bodies.whole_number import whole_number

MOST_AT_ONCE = 8
"""0.01 s of compilation with the worst patterns found; 12 take 0.7 s, 16 a minute."""


def expressions_at_once(schema: Mapping[str, Any]) -> int:
    """Return an upper bound: branches of one ``allOf`` are added up, whether or not they constrain the same text."""
    return _at_once(schema, schema, {})


def _at_once(node: Any, root: Mapping[str, Any], known: dict[int, int]) -> int:
    """Return the bound of one node. ``known``: bounds by id (modified); a reference to itself adds nothing."""
    if not isinstance(node, Mapping):
        return 0
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = 0
    own = ("pattern" in node) + ("format" in node)
    every = sum(_at_once(branch, root, known) for branch in _listed(node.get("allOf")))
    referred = _at_once(_pointed(root, node.get("$ref")), root, known)
    some = max((_at_once(x, root, known) for x in _alternatives(node)), default=0)
    inside = max((_at_once(x, root, known) for x in _inside(node)), default=0)
    known[id(node)] = own + every + referred + some + inside
    return known[id(node)]


def _alternatives(node: Mapping[str, Any]) -> Iterator[Any]:
    for keyword in ("anyOf", "oneOf"):
        yield from _listed(node.get(keyword))


def _inside(node: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas of an object's or an array's contents, each of a different value."""
    for keyword in ("properties", "patternProperties"):
        named = node.get(keyword)
        yield from named.values() if isinstance(named, Mapping) else ()
    for keyword in ("items", "prefixItems"):
        yield from _listed(node.get(keyword))
    for keyword in ("items", "additionalItems", "additionalProperties"):
        yield node.get(keyword)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pointed(root: Mapping[str, Any], ref: Any) -> Any:
    """Return the target of a reference inside of the schema; None for a missing one."""
    at: Any = root
    for step in ref[1:].split("/")[1:] if isinstance(ref, str) else ("",):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list) and (index := whole_number(name, len(at) - 1)) is not None:
            at = at[index]
        else:
            at = at.get(name) if isinstance(at, Mapping) else None
    return at
