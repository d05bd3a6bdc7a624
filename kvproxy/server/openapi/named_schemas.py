"""`Schemas`: JSON schemas of the request and response types, by the types' own names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

_REF = "#/components/schemas/"
_MARKUP = re.compile(r":\w+:(?=`)")


class Schemas:
    """The schemas of all types; each stands in ``components`` once and is referred to by name."""

    def __init__(self, types: tuple[Sequence[Any], Sequence[Any]]) -> None:
        """``types``: the request types, and the response types."""
        modes: tuple[JsonSchemaMode, ...] = ("validation", "serialization")
        inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
            (repr(kind), mode, TypeAdapter(kind))
            for mode, kinds in zip(modes, types, strict=True)
            for kind in kinds
        ]
        distinct = {(key, mode): (key, mode, adapter) for key, mode, adapter in inputs}
        schemas, definitions = TypeAdapter.json_schemas(
            distinct.values(), ref_template=_REF + "{model}", schema_generator=_Generator
        )
        found = definitions.get("$defs", {})
        # pydantic puts the module in front of a name that two types share: clients should never see that.
        if shared := [name for name in found if "__" in name]:
            raise ValueError(f"two types share a name: {sorted(shared)}; rename one of them")
        self.components: dict[str, Any] = {name: self._tidy(found[name]) for name in sorted(found)}
        self._schemas = {key: self._tidy(schema) for key, schema in schemas.items()}

    def read(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a request type."""
        return self._of(kind, "validation")

    def written(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a response type."""
        return self._of(kind, "serialization")

    def _of(self, kind: Any, mode: Literal["validation", "serialization"]) -> dict[str, Any]:
        found: dict[str, Any] = self._schemas[repr(kind), mode]
        return found

    def _tidy(self, schema: Any) -> Any:
        """Return a schema with Markdown's backticks in its descriptions."""
        if isinstance(schema, Mapping):
            return {key: self._tidy_value(key, value) for key, value in schema.items()}
        if isinstance(schema, list):
            return [self._tidy(x) for x in schema]
        return schema

    def _tidy_value(self, key: str, value: Any) -> Any:
        if key == "description" and isinstance(value, str):
            return " ".join(_MARKUP.sub("", value).replace("``", "`").split())
        return self._tidy(value)


class _Generator(GenerateJsonSchema):
    """pydantic's generator, without titles, which only repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> dict[str, Any]:
        made = super().typed_dict_schema(schema)
        made.pop("title", None)
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        made.pop("title", None)
        return made
