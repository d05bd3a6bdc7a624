"""A client's JSON schema, rewritten to what a grammar can enforce to the letter. Pure.

Every value that the rewritten schema admits is valid under the client's. The other way round is not promised:
of several spellings of one value (property order, further properties nobody named, a leap second) the grammar
may know one. A keyword that could only be ignored is refused by name, wherever the schema can reach it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.schema_formats import EQUAL_PATTERNS, FORMATS, UNENFORCED, WRITTEN
from kvproxy.wire.schema_patterns import MOST_AT_ONCE, at_once

KEPT = frozenset(
    "$ref additionalItems additionalProperties allOf anyOf const enum exclusiveMaximum exclusiveMinimum format "
    "items maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf oneOf "
    "pattern patternProperties prefixItems properties required type".split()
)
"""What the grammar library enforces. Any other keyword is refused below, or asserts nothing and is left out:
``x-guidance`` in a client's schema must not reach the library."""

REFUSED = (
    "not if then else dependentRequired dependentSchemas dependencies contains uniqueItems propertyNames "
    "unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef disallow extends divisibleBy"
).split()
"""Assertions of some draft of JSON schema that no grammar here enforces; see :func:`_settled` for exceptions."""

EXACT_INT = 2**53
"""The library reads numbers as 64-bit floats."""

MOST_NODES = 100_000
"""Of a rewritten schema as text. Branches of ``oneOf`` stand where they are referred to, so that thirty lines in
which each definition names the next one twice would be gigabytes."""

_NEVER = ("allOf", "oneOf")
_BESIDE = ("anyOf", "$ref")

Schema = Mapping[str, Any]


def enforceable(schema: Schema, *, where: str, param: str) -> dict[str, Any]:
    """The schema to compile. ``where`` names it in messages: ``response_format`` or ``function 'find'``.

    Raises UnsupportedSchema naming the keyword and its place.
    """
    try:
        return _Rewriter(schema, where, param).whole()
    except RecursionError as e:
        raise UnsupportedSchema(
            f"Invalid schema for {where}: it is nested too deeply to be enforced.", param=param
        ) from e


def no_arguments(schema: Schema | None) -> bool:
    """Whether a tool's parameters name nothing, so that its only sensible arguments are ``{}``."""
    says = {key for key, value in (schema or {}).items() if key in KEPT and value not in ([], {})}
    return says <= {"type", "additionalProperties"} and not isinstance(
        (schema or {}).get("additionalProperties"), dict
    )


class _Rewriter:
    def __init__(self, schema: Schema, where: str, param: str) -> None:
        self._root = schema
        self._where = where
        self._param = param
        self._closing = not any(_opens(node) for node in _nodes(schema))
        self._reached: dict[tuple[str, str], Any] = {}

    def whole(self) -> dict[str, Any]:
        out = self._node(self._root, "")
        if not isinstance(out, dict):
            raise self._refusal("a schema that admits nothing", "")
        out = {key: value for key, value in out.items() if key not in ("$defs", "definitions")}
        for (group, name), definition in self._reached.items():
            out.setdefault(group, {})[name] = definition
        if _size(out, {}) > MOST_NODES:
            raise self._refusal(f"a schema of more than {MOST_NODES} parts, its 'oneOf' written out,", "")
        if at_once(out) > MOST_AT_ONCE:
            raise self._refusal(f"'allOf' of more than {MOST_AT_ONCE} patterns and formats", "")
        try:
            json.dumps(out, ensure_ascii=False).encode()
        except UnicodeEncodeError as e:
            raise self._refusal("half of a surrogate pair", "") from e
        return out

    def _node(self, node: Any, at: str) -> Any:
        """One schema. ``at`` is its JSON pointer."""
        if isinstance(node, bool):
            return {} if node else False
        if not isinstance(node, Mapping):
            raise self._refusal("a schema that is neither an object nor a boolean", at)
        for keyword, (what, shaped) in _SHAPES.items():
            if keyword in node and not shaped(node[keyword]):
                raise self._refusal(f"'{keyword}' that is not {what}", at)
        if "not" in node and node["not"] in ({}, True):
            return False
        node = self._settled(node, at)
        for keyword in REFUSED:
            if keyword in node:
                raise self._refusal(f"'{keyword}'", at)
        self._check(node, at)
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key in KEPT:
                out[key] = self._value(key, value, at)
            elif key in ("$defs", "definitions") and at and isinstance(value, Mapping):
                out[key] = self._value("properties", value, at)
        if isinstance(node.get("format"), str):
            self._format(node, out, at)
        if "prefixItems" in out:
            out.pop("additionalItems", None)
        return self._closed(out)

    def _value(self, key: str, value: Any, at: str) -> Any:
        here = f"{at}/{key}"
        match key:
            case "properties" | "patternProperties":
                if not isinstance(value, Mapping):
                    raise self._refusal(f"'{key}' that is not an object", at)
                return {name: self._node(schema, f"{here}/{name}") for name, schema in value.items()}
            case "allOf" | "anyOf" | "oneOf" | "prefixItems":
                return self._list(key, value, at)
            case "items" if isinstance(value, list):
                return self._list(key, value, at)
            case "items" | "additionalItems" | "additionalProperties":
                return self._node(value, here)
            case "$ref":
                return self._follow(value, at)
            case "pattern":
                return EQUAL_PATTERNS.get(value, value) if isinstance(value, str) else value
            case "minimum" | "exclusiveMinimum":
                return _inside(value, above=True)
            case "maximum" | "exclusiveMaximum":
                return _inside(value, above=False)
        return value

    def _list(self, key: str, value: Any, at: str) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise self._refusal(f"'{key}' that is not a list of schemas", at)
        branches = [self._node(branch, f"{at}/{key}/{i}") for i, branch in enumerate(value)]
        # The library tells branches of oneOf apart by what they say themselves, not behind a reference.
        return [self._resolved(branch) if key == "oneOf" else branch for branch in branches]

    def _follow(self, ref: Any, at: str) -> str:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise self._refusal(f"'$ref' to {ref!r}, which is not inside the schema", at)
        group, _, rest = ref[2:].partition("/")
        if group in ("$defs", "definitions") and rest:
            name = rest.split("/")[0].replace("~1", "/").replace("~0", "~")
            found = self._root.get(group, {})
            if name not in found:
                raise self._refusal(f"'$ref' to {ref!r}, which is not there", at)
            if (group, name) not in self._reached:
                self._reached[group, name] = True  # what refers to itself finds itself visited
                self._reached[group, name] = self._node(found[name], f"/{group}/{name}")
        return ref

    def _resolved(self, branch: Any) -> Any:
        """What a branch refers to, where it says nothing else and that is known by now."""
        for _ in range(8):
            if not (isinstance(branch, dict) and branch.keys() == {"$ref"}):
                break
            group, _, name = branch["$ref"][2:].partition("/")
            target = self._reached.get((group, name.replace("~1", "/").replace("~0", "~")), True)
            if target is True:
                break
            branch = target
        return branch

    def _settled(self, node: Schema, at: str) -> Schema:
        """The same schema without those refused keywords that say nothing here, or say what others can."""
        out = dict(node)
        for key, idle in _IDLE.items():
            if key in out and idle(out):
                del out[key]
        if out.get("unevaluatedProperties") is False and not out.keys() & {*_NEVER, *_BESIDE}:
            del out["unevaluatedProperties"]
            out.setdefault("additionalProperties", False)
        names = out.get("propertyNames")
        if isinstance(names, Mapping) and not out.keys() & {"properties", "patternProperties"}:
            names = self._target(names)
            free = out.get("additionalProperties", {})
            if _says(names, "enum") and _names(names["enum"]):
                out["properties"] = {name: free for name in names["enum"]}
            elif _says(names, "pattern"):
                out["patternProperties"] = {names["pattern"]: free}
            else:
                return out
            del out["propertyNames"]
            out["additionalProperties"] = False
        return out

    def _target(self, node: Schema) -> Schema:
        ref = node.get("$ref")
        if isinstance(ref, str) and len(ref.split("/")) == 3:
            _, group, name = ref.split("/")
            found = self._root.get(group, {}).get(name)
            return found if isinstance(found, Mapping) else node
        return node

    def _check(self, node: Schema, at: str) -> None:
        values = [node["const"]] if "const" in node else []
        values += node["enum"] if isinstance(node.get("enum"), list) else []
        if any(_too_exact(value) for value in values):
            raise self._refusal("'const' or 'enum' with an integer beyond 2**53", at)
        least = node.get("minProperties", 0)
        if node.get("additionalProperties") is False and "patternProperties" not in node:
            return
        # One key may be written twice in its place; a second one beyond the required ones is not enforced.
        if isinstance(least, int) and least > len(node.get("required", ())) + 1:
            raise self._refusal("'minProperties' where keys are free", at)

    def _format(self, node: Schema, out: dict[str, Any], at: str) -> None:
        name = out.pop("format")
        kinds = node.get("type", "string")
        if "string" not in (kinds if isinstance(kinds, list) else [kinds]):
            return
        if name in UNENFORCED:
            raise self._refusal(f"'format': '{name}'", at)
        if name in WRITTEN and "pattern" not in out:
            out["pattern"] = WRITTEN[name]
        elif name in WRITTEN:
            out["allOf"] = [*out.get("allOf", ()), {"type": "string", "pattern": WRITTEN[name]}]
        elif name in FORMATS:
            out["format"] = name

    def _closed(self, out: dict[str, Any]) -> dict[str, Any]:
        """An object that names its properties and says nothing of others gets no others: a small model would
        go on inventing some. Not where other schemas look at the same object."""
        named = out.get("properties")
        silent = not out.keys() & {"additionalProperties", "patternProperties", *_BESIDE}
        if (
            self._closing
            and named
            and silent
            and isinstance(out.get("required", []), list)
            and set(out.get("required", ())) <= named.keys()
            and out.get("minProperties", 0) <= len(named)
        ):
            out["additionalProperties"] = False
        return out

    def _refusal(self, what: str, at: str) -> UnsupportedSchema:
        place = f" (at #{at})" if at else ""
        return UnsupportedSchema(
            f"Invalid schema for {self._where}: {what} cannot be enforced{place}.", param=self._param
        )


def _nodes(value: Any) -> Iterator[Schema]:
    """Everything in a schema that could be one; more than there are does no harm."""
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _opens(node: Schema) -> bool:
    """Whether several schemas may look at one object here: closing one of them would change what all admit."""
    return bool(node.keys() & {*_NEVER}) or (
        bool(node.keys() & {*_BESIDE})
        and bool(node.keys() & {"properties", "required", "additionalProperties"})
    )


def _size(value: Any, known: dict[int, int]) -> int:
    """Values in ``value`` as it is written, what stands in it twice twice. ``known``: sizes by id (modified)."""
    if not isinstance(value, dict | list):
        return 1
    size = known.get(id(value))
    if size is None:
        inner = value.values() if isinstance(value, dict) else value
        size = known[id(value)] = 1 + sum(_size(item, known) for item in inner)
    return size


_IDLE: dict[str, Callable[[Schema], bool]] = {
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


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_SHAPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "required": ("a list of names", _names),  # a boolean in a property is draft 3's
    "enum": ("a list", lambda value: isinstance(value, list)),
    "$defs": ("an object", lambda value: isinstance(value, Mapping)),
    "definitions": ("an object", lambda value: isinstance(value, Mapping)),
    "minProperties": ("a count", _count),
    "maxProperties": ("a count", _count),
}
"""What is looked into here, so it must be what JSON schema says; the library judges the rest."""


def _says(node: Schema, keyword: str) -> bool:
    """Whether a schema of strings asserts just this."""
    return keyword in node and node.keys() & (KEPT | set(REFUSED)) <= {"type", keyword}


def _inside(bound: Any, *, above: bool) -> Any:
    """A bound that the library reads exactly: beyond 2**53 with 15 digits, moved inwards."""
    if isinstance(bound, bool) or not isinstance(bound, int) or abs(bound) <= EXACT_INT:
        return bound
    step: int = 10 ** (len(str(abs(bound))) - 15)
    return -(-bound // step) * step if above else bound // step * step


def _too_exact(value: Any) -> bool:
    if isinstance(value, list):
        return any(_too_exact(item) for item in value)
    if isinstance(value, Mapping):
        return any(_too_exact(item) for item in value.values())
    return isinstance(value, int) and abs(value) > EXACT_INT
