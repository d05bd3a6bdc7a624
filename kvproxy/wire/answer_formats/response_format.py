"""``response_format``: the format of the whole answer, as OpenAI and other engines spell it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.answer_formats.read_format import (
    grammar_format,
    json_format,
    regex_format,
    schema_of,
    tags_format,
)
from kvproxy.wire.bodies.strict import Strict

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class JsonSchemaBody(Strict):
    """A named JSON schema for the whole answer."""

    name: str = Field(description="Up to 64 letters, digits, _ and -.")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema", description="A JSON schema.")
    strict: bool | None = Field(
        default=None,
        description="The schema is enforced to the letter; else as far as it can be, and the answer names the rest.",
    )


class ResponseFormatBody(Strict):
    """The format of the whole answer. Each ``type`` reads fields of its own; any of the others beside it is refused."""

    type: Literal[
        "text", "json_object", "json_schema", "json", "regex", "grammar", "gbnf", "ebnf", "structural_tag"
    ]
    json_schema: JsonSchemaBody | None = None
    schema_: Any = Field(
        default=None, alias="schema", description="Of json_object or json_schema: the schema."
    )
    name: str | None = None
    description: str | None = None
    strict: bool | None = Field(default=None, description="Of json_schema with 'schema' beside its type.")
    grammar: Any = Field(default=None, description="Of the type grammar: GBNF, or Lark.")
    regex: Any = Field(default=None, description="Of the type regex; 'pattern' is the same.")
    pattern: Any = None
    value: Any = Field(default=None, description="TGI's name of a schema or a regex.")
    structures: Any = Field(default=None, description="Of structural_tag: begin, schema and end of each.")
    triggers: Any = Field(default=None, description="Of structural_tag: the texts that begin a structure.")
    format: Any = Field(default=None, description="Of structural_tag: not supported.")


_READ: Mapping[str, tuple[str, ...]] = {
    "text": (),
    "json_object": ("schema", "value"),
    "json": ("schema", "value"),
    "json_schema": ("json_schema", "schema", "value"),
    "regex": ("regex", "pattern", "value"),
    "grammar": ("grammar", "value"),
    "gbnf": ("grammar", "value"),
    "ebnf": ("grammar", "value"),
    "structural_tag": ("structures", "triggers", "format"),
}
"""The fields that each type reads. Another of these fields beside the type would be a constraint that is lost."""
_CARRIERS = tuple(dict.fromkeys(name for names in _READ.values() for name in names))


def parse_response_format(body: ResponseFormatBody | None) -> AnswerFormat | None:
    """Read the ``response_format`` of a body. Raises InvalidRequest, UnsupportedParameter."""
    if body is None:
        return None
    present = {name: _field(body, name) for name in _CARRIERS if _field(body, name) is not None}
    for name in present:
        if name not in _READ[body.type]:
            raise InvalidRequest(
                f"Invalid 'response_format.{name}': it has no effect with the type '{body.type}'. "
                "Leave it out, or change the type.",
                param=f"response_format.{name}",
            )
    if body.type == "structural_tag":
        return tags_format(present, "response_format")
    if len(present) > 1:
        first, second = list(present)[:2]
        raise InvalidRequest(
            f"Invalid 'response_format': '{first}' and '{second}' both constrain the answer. Send one of them.",
            param=f"response_format.{second}",
        )
    return _of_type(body, next(iter(present), None))


def _of_type(body: ResponseFormatBody, name: str | None) -> AnswerFormat | None:
    value = _field(body, name) if name is not None else None
    where = f"response_format.{name}"
    match body.type:
        case "text":
            return None
        case "json_object" | "json":
            return JsonFormat() if name is None else _object_format(value, where)
        case "json_schema" if body.json_schema is not None:
            found = body.json_schema
            return json_schema_format(
                found.name, found.schema_, where="response_format.json_schema", strict=bool(found.strict)
            )
        case "json_schema" if name is not None:
            return json_format(value, where, strict=bool(body.strict))
        case "json_schema":
            raise _missing("json_schema")
        case "regex":
            if name is None:
                raise _missing("regex")
            return regex_format(value, where)
        case _:
            if name is None:
                raise _missing("grammar")
            return grammar_format(value, where)


def json_schema_format(
    name: str, schema: dict[str, Any] | None, *, where: str, strict: bool = False
) -> JsonFormat:
    """Read OpenAI's named JSON schema. ``where`` is the path of the object that has the fields.

    Raises InvalidRequest. Example: ``json_schema_format("answer", {"type": "object"}, where="text.format",
    strict=True)``.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"Invalid '{where}.name': must be 1 to 64 letters, digits, underscores and dashes.",
            param=f"{where}.name",
        )
    if schema is None:
        raise InvalidRequest(f"Missing required parameter: '{where}.schema'.", param=f"{where}.schema")
    return JsonFormat(schema, strict=strict, param=f"{where}.schema")


def _object_format(value: object, where: str) -> JsonFormat:
    """Read ``json_object`` with a schema, as llama.cpp, Together and Fireworks accept it: an object that follows it."""
    schema = schema_of(value, where)
    if not schema:
        return JsonFormat()
    kind = schema.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise UnsupportedParameter(
            f"Invalid '{where}': beside 'json_object' a schema of objects is needed. Use the type 'json_schema'.",
            param=where,
        )
    return JsonFormat({**schema, "type": "object"}, strict=False, param=where)


def _field(body: ResponseFormatBody, name: str) -> Any:
    return getattr(body, "schema_" if name == "schema" else name)


def _missing(name: str) -> InvalidRequest:
    param = f"response_format.{name}"
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
