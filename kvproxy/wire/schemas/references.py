"""Targets of a JSON schema's references: pointers, anchors and resources with an `$id`, all of one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from kvproxy.wire.bodies.whole_number import whole_number

_ONE = (
    "items additionalItems additionalProperties contains not if then else propertyNames unevaluatedItems "
    "unevaluatedProperties contentSchema"
).split()
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")


@dataclass(frozen=True, slots=True)
class ReferenceTarget:
    """The schema that a reference stands for. ``base``: the URI that references inside of it are relative to."""

    schema: Any
    base: str


class References:
    """The resources and anchors of one schema. Nothing is ever fetched."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        """Index a schema. Raises RecursionError for one that is nested too deeply."""
        dialect = root.get("$schema")
        self._root, self._names_dialect = root, isinstance(dialect, str)
        self._id = "id" if isinstance(dialect, str) and "draft-04" in dialect else "$id"
        self._alone = isinstance(dialect, str) and any(f"draft-0{n}" in dialect for n in (3, 4, 6, 7))
        """Beside ``$ref``, older drafts read nothing else, an ``$id`` neither."""
        self._resources: dict[str, ReferenceTarget] = {}
        self._anchors: dict[tuple[str, str], ReferenceTarget] = {}
        self.base = self.base_of(root, "")
        self._resources[self.base] = ReferenceTarget(root, self.base)
        self._learn(root, "")

    def ambiguous(self, node: Mapping[str, Any]) -> bool:
        """Return whether the target of ``node``'s reference depends on the draft, in a schema without ``$schema``.

        Newer drafts read an ``$id`` beside it.
        """
        own = node.get("$id")
        return isinstance(own, str) and not self._names_dialect and own != self._root.get("$id")

    def base_of(self, node: Mapping[str, Any], base: str) -> str:
        """Return the URI that references inside of ``node`` are relative to, where ``base`` is that outside of it."""
        own = node.get(self._id)
        if not isinstance(own, str) or own.startswith("#") or (self._alone and "$ref" in node):
            return base
        return urldefrag(_joined(base, own)).url

    def target(self, ref: str, base: str) -> ReferenceTarget | None:
        """Return the target of a reference; None for one outside of the schema."""
        url, fragment = urldefrag(_joined(base, ref))
        resource = self._resources.get(url)
        if resource is None or not fragment:
            return resource
        if not fragment.startswith("/"):
            return self._anchors.get((url, unquote(fragment)))
        at, base = resource.schema, resource.base
        for step in unquote(fragment).split("/")[1:]:
            at = _step(at, step.replace("~1", "/").replace("~0", "~"))
            if at is None:
                return None
            base = self.base_of(at, base) if isinstance(at, Mapping) else base
        return ReferenceTarget(at, base)

    def _learn(self, node: Any, base: str) -> None:
        if not isinstance(node, Mapping):
            return
        base = self.base_of(node, base)
        if base not in self._resources:
            self._resources[base] = ReferenceTarget(node, base)
        names = [node.get("$anchor"), node.get("$dynamicAnchor")]
        own = node.get(self._id)
        if isinstance(own, str) and own.startswith("#"):
            names.append(own[1:])
        for name in names:
            if isinstance(name, str):
                self._anchors.setdefault((base, name), ReferenceTarget(node, base))
        for inner in subschemas(node):
            self._learn(inner, base)


def subschemas(node: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas directly inside of one; the values of ``enum`` and ``const`` are none."""
    for keyword in _ONE:
        if keyword in node:
            yield node[keyword]
    for keyword in _LISTED:
        if isinstance(node.get(keyword), list):
            yield from node[keyword]
    for keyword in _NAMED:
        if isinstance(node.get(keyword), Mapping):
            yield from node[keyword].values()


def _joined(base: str, ref: str) -> str:
    """Join as ``urljoin``, which does not join fragments to URNs."""
    return base + ref if ref.startswith("#") else urljoin(base, ref)


def _step(at: Any, name: str) -> Any:
    if isinstance(at, list) and (index := whole_number(name, len(at) - 1)) is not None:
        return at[index]
    return at.get(name) if isinstance(at, Mapping) else None
