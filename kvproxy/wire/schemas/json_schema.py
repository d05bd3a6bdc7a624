"""JSON schemas of clients, rewritten to schemas that a grammar enforces to the letter. Pure.

Every value that the rewritten schema admits is valid under the client's. The other way round is not promised: of
several spellings of one value (property order, further unnamed properties, a leap second) the grammar may know one. A
keyword that could only be ignored is refused by name, wherever the schema can reach it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.schemas.control_characters import controls_allowed, needs_controls
from kvproxy.wire.schemas.ecma_patterns import UnknownPattern, translated
from kvproxy.wire.schemas.intersections import MOST_AT_ONCE, expressions_at_once
from kvproxy.wire.schemas.keywords import (
    BESIDE,
    BRANCHING,
    COUNTS,
    IDLE,
    KEPT,
    REFUSED,
    SHAPES,
    SHARING,
    Schema,
    are_names,
    asserts_only,
    beyond_exact_int,
    exact_bound,
    nodes,
    shares_objects,
    size_of,
)
from kvproxy.wire.schemas.references import References
from kvproxy.wire.schemas.string_formats import EQUAL_PATTERNS, FORMATS, UNENFORCED, WRITTEN

MOST_NODES = 100_000
"""Of a rewritten schema as text. Branches of ``oneOf`` stand where they are referred to, so that thirty lines in which
each definition names the next one twice would be gigabytes."""

_PLAIN_REF = re.compile(r"#/(\$defs|definitions)/[A-Za-z0-9_.-]+")


def enforceable_schema(
    schema: Schema, *, where: str, param: str, relaxed: dict[str, None] | None = None
) -> dict[str, Any]:
    """Return the schema to compile. ``where`` names it in messages: ``response_format`` or ``function 'find'``.

    ``relaxed``: keywords that cannot be enforced are left out of the schema and put there (modified). Without it,
    raises UnsupportedSchema naming the keyword and its place.

    Example: ``enforceable_schema({"type": "string"}, where="response_format", param="response_format")``.
    """
    try:
        return _Rewriter(schema, where, param, relaxed).whole()
    except RecursionError as e:
        raise UnsupportedSchema(
            f"Invalid schema for {where}: it is nested too deeply to be enforced.", param=param
        ) from e


def no_arguments(schema: Schema | None) -> bool:
    """Return whether a tool's parameters name nothing, so that its only sensible arguments are ``{}``."""
    says = {key for key, value in (schema or {}).items() if key in KEPT and value not in ([], {})}
    return says <= {"type", "additionalProperties"} and not isinstance(
        (schema or {}).get("additionalProperties"), dict
    )


class _Rewriter:
    def __init__(self, schema: Schema, where: str, param: str, relaxed: dict[str, None] | None) -> None:
        self._root = schema
        self._where = where
        self._param = param
        self._relaxed = relaxed
        self._closing = not any(shares_objects(node) for node in nodes(schema))
        self._references = References(schema)
        self._reached: dict[str, Any] = {}
        self._names: dict[tuple[str, int], str] = {}

    def whole(self) -> dict[str, Any]:
        out = self._node(self._root, "", "")
        if not isinstance(out, dict):
            self._refuse("a schema that admits nothing", "", "false")
            out = {}
        for ref, definition in self._reached.items():
            _, group, name = ref.split("/")
            out.setdefault(group, {})[name] = definition
        if size_of(out, {}) > MOST_NODES:
            raise self._refusal(f"a schema of more than {MOST_NODES} parts, its 'oneOf' written out,", "")
        if expressions_at_once(out) > MOST_AT_ONCE:
            raise self._refusal(f"'allOf' of more than {MOST_AT_ONCE} patterns and formats", "")
        if (keyword := needs_controls(out)) and not controls_allowed(out):
            raise self._refusal(
                f"'{keyword}' with a control character, where objects have keys that are not named,", ""
            )
        try:
            json.dumps(out, ensure_ascii=False).encode()
        except UnicodeEncodeError as e:
            raise self._refusal("half of a surrogate pair", "") from e
        return out

    def _node(self, node: Any, at: str, base: str) -> Any:
        """Rewrite one schema. ``at`` is its JSON pointer; references in it are relative to ``base``."""
        if isinstance(node, bool):
            return {} if node else False
        if not isinstance(node, Mapping):
            self._refuse("a schema that is neither an object nor a boolean", at, "no schema")
            return {}
        base = self._references.base_of(node, base)
        node = self._shaped(node, at)
        if "not" in node and node["not"] in ({}, True):
            return False
        node = self._settled(node, at, base)
        if "$ref" in node and self._references.ambiguous(node):
            self._refuse("'$ref' beside an '$id', in a schema without '$schema',", at, "$ref")
            del node["$ref"]
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key in KEPT:
                self._put(out, key, value, at, base)
        if isinstance(node.get("format"), str):
            self._format(node, out, at)
        if "prefixItems" in out:
            out.pop("additionalItems", None)
        return self._closed(out)

    def _shaped(self, node: Schema, at: str) -> dict[str, Any]:
        out = dict(node)
        for keyword in COUNTS:
            if isinstance(out.get(keyword), float) and out[keyword].is_integer():
                out[keyword] = int(out[keyword])
        for keyword, (what, shaped) in SHAPES.items():
            if keyword in out and not shaped(out[keyword]):
                self._refuse(f"'{keyword}' that is not {what}", at, keyword)
                del out[keyword]
        return out

    def _put(self, out: dict[str, Any], key: str, value: Any, at: str, base: str) -> None:
        here = f"{at}/{key}"
        match key:
            case "properties":
                out[key] = {name: self._node(s, f"{here}/{name}", base) for name, s in value.items()}
            case "patternProperties":
                self._pattern_properties(out, value, at, base)
            case "allOf" | "anyOf" | "oneOf" | "prefixItems":
                self._list(out, key, value, at, base)
            case "items" if isinstance(value, list):
                self._list(out, key, value, at, base)
            case "items" | "additionalItems" | "additionalProperties":
                # A relaxed patternProperties has opened the object already.
                if not (key == "additionalProperties" and key in out):
                    out[key] = self._node(value, here, base)
            case "$ref":
                self._follow(out, value, at, base)
            case "pattern":
                self._pattern(out, value, at)
            case "minimum" | "exclusiveMinimum":
                out[key] = exact_bound(value, above=True)
            case "maximum" | "exclusiveMaximum":
                out[key] = exact_bound(value, above=False)
            case _:
                out[key] = value

    def _list(self, out: dict[str, Any], key: str, value: Any, at: str, base: str) -> None:
        if not isinstance(value, list) or not value:
            self._refuse(f"'{key}' that is not a list of schemas", at, key)
            return
        branches = [self._node(branch, f"{at}/{key}/{i}", base) for i, branch in enumerate(value)]
        # The library distinguishes branches of oneOf by their own keywords, not by those behind a reference.
        out[key] = [self._resolved(branch) if key == "oneOf" else branch for branch in branches]

    def _pattern(self, out: dict[str, Any], value: Any, at: str) -> None:
        if not isinstance(value, str):
            out["pattern"] = value  # The library refuses it with a reason.
            return
        try:
            out["pattern"] = translated(EQUAL_PATTERNS.get(value, value))
        except UnknownPattern as e:
            self._refuse(f"'pattern' with {e}", at, "pattern")

    def _pattern_properties(self, out: dict[str, Any], value: Schema, at: str, base: str) -> None:
        found: dict[str, Any] = {}
        for pattern, schema in value.items():
            try:
                text = translated(pattern)
            except UnknownPattern as e:
                self._refuse(f"'patternProperties' with {e}", at, "patternProperties")
                out["additionalProperties"] = {}
                return
            while text in found:  # Two patterns may have one translation; both schemas count.
                text = f"(?:{text})"
            found[text] = self._node(schema, f"{at}/patternProperties/{pattern}", base)
        out["patternProperties"] = found

    def _follow(self, out: dict[str, Any], ref: Any, at: str, base: str) -> None:
        target = self._references.target(ref, base) if isinstance(ref, str) else None
        if target is None or not isinstance(target.schema, Mapping | bool):
            self._refuse(f"'$ref' to {ref!r}, which is not inside the schema", at, "$ref")
            return
        if target.schema is self._root:
            out["$ref"] = "#"
            return
        key = (str(target.schema), 0) if isinstance(target.schema, bool) else ("", id(target.schema))
        if key not in self._names:
            name = self._names[key] = self._named(ref)
            self._reached[name] = True  # a reference to itself finds the definition visited
            place = ref if ref.startswith("#") else ""
            self._reached[name] = self._node(target.schema, place.removeprefix("#"), target.base)
        out["$ref"] = self._names[key]

    def _named(self, ref: str) -> str:
        """Return the definition's place in the schema to compile: its old one, if that needs no escapes."""
        if _PLAIN_REF.fullmatch(ref) and ref not in self._reached:
            return ref
        number = len(self._reached)
        while f"#/$defs/r{number}" in self._reached or f"r{number}" in self._root.get("$defs", ()):
            number += 1
        return f"#/$defs/r{number}"

    def _resolved(self, branch: Any) -> Any:
        """Return the target of a branch that is only a reference, where the target is known by now."""
        for _ in range(8):
            if not (isinstance(branch, dict) and branch.keys() == {"$ref"}):
                break
            target = self._reached.get(branch["$ref"], True)
            if target is True:
                break
            branch = target
        return branch

    def _settled(self, node: Schema, at: str, base: str) -> dict[str, Any]:
        """Return the schema without refused keywords that assert nothing here, or that others can express."""
        out = dict(node)
        for key, idle in IDLE.items():
            if key in out and idle(out):
                del out[key]
        if out.get("unevaluatedProperties") is False and not out.keys() & {*SHARING, *BESIDE, *BRANCHING}:
            del out["unevaluatedProperties"]
            out.setdefault("additionalProperties", False)
        self._names_settled(out, base)
        for keyword in REFUSED:
            if keyword in out:
                self._refuse(f"'{keyword}'", at, keyword)
                del out[keyword]
        self._check(out, at)
        return out

    def _names_settled(self, out: dict[str, Any], base: str) -> None:
        names = out.get("propertyNames")
        if not isinstance(names, Mapping) or out.keys() & {"properties", "patternProperties"}:
            return
        target = self._references.target(names["$ref"], base) if isinstance(names.get("$ref"), str) else None
        if target is not None and isinstance(target.schema, Mapping):
            names = target.schema
        free = out.get("additionalProperties", {})
        if asserts_only(names, "enum") and are_names(names["enum"]):
            out["properties"] = {name: free for name in names["enum"]}
        elif asserts_only(names, "pattern") and isinstance(names["pattern"], str):
            out["patternProperties"] = {names["pattern"]: free}
        else:
            return
        del out["propertyNames"]
        out["additionalProperties"] = False

    def _check(self, node: dict[str, Any], at: str) -> None:
        for keyword in ("const", "enum"):
            if keyword in node and beyond_exact_int(node[keyword]):
                self._refuse(f"'{keyword}' with an integer beyond 2**53", at, keyword)
                del node[keyword]
        least = node.get("minProperties", 0)
        if node.get("additionalProperties") is False and "patternProperties" not in node:
            return
        # One key may be written twice in its place; a second one beyond the required ones is not enforced.
        if isinstance(least, int) and least > len(node.get("required", ())) + 1:
            self._refuse("'minProperties' where keys are free", at, "minProperties")
            del node["minProperties"]

    def _format(self, node: Schema, out: dict[str, Any], at: str) -> None:
        name = out.pop("format")
        kinds = node.get("type", "string")
        if "string" not in (kinds if isinstance(kinds, list) else [kinds]):
            return
        if name in UNENFORCED:
            self._refuse(f"'format': '{name}'", at, f"format {name}")
        elif name in WRITTEN and "pattern" not in out:
            out["pattern"] = WRITTEN[name]
        elif name in WRITTEN:
            out["allOf"] = [*out.get("allOf", ()), {"type": "string", "pattern": WRITTEN[name]}]
        elif name in FORMATS:
            out["format"] = name

    def _closed(self, out: dict[str, Any]) -> dict[str, Any]:
        """Close an object that names its properties and is silent on others.

        A small model would go on inventing some. Not where other schemas apply to the same object.
        """
        named = out.get("properties")
        silent = not out.keys() & {"additionalProperties", "patternProperties", *BESIDE}
        if (
            self._closing
            and named
            and silent
            and set(out.get("required", ())) <= named.keys()
            and out.get("minProperties", 0) <= len(named)
        ):
            out["additionalProperties"] = False
        return out

    def _refuse(self, what: str, at: str, keyword: str) -> None:
        """Record a keyword that is left out. Raises UnsupportedSchema where nothing may be."""
        if self._relaxed is None:
            raise self._refusal(what, at)
        self._relaxed[keyword] = None

    def _refusal(self, what: str, at: str) -> UnsupportedSchema:
        place = f" (at #{at})" if at else ""
        return UnsupportedSchema(
            f"Invalid schema for {self._where}: {what} cannot be enforced{place}.", param=self._param
        )
