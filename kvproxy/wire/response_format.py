"""``response_format``: what the whole answer has to look like."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from kvproxy.core import JsonFormat
from kvproxy.errors import InvalidRequest
from kvproxy.wire.strict import Strict

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class JsonSchemaBody(Strict):
    name: str = Field(description="Up to 64 letters, digits, _ and -.")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema", description="A JSON schema.")
    strict: bool | None = Field(default=None, description="The schema is enforced in either case.")


class ResponseFormatBody(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaBody | None = None


def parse_response_format(body: ResponseFormatBody | None) -> JsonFormat | None:
    """Raises InvalidRequest."""
    if body is None or body.type == "text":
        return None
    if body.type == "json_object":
        return JsonFormat()
    if body.json_schema is None:
        raise InvalidRequest(
            "Missing required parameter: 'response_format.json_schema'.", param="response_format.json_schema"
        )
    return json_schema_format(
        body.json_schema.name, body.json_schema.schema_, where="response_format.json_schema"
    )


def json_schema_format(name: str, schema: dict[str, Any] | None, *, where: str) -> JsonFormat:
    """``where`` is the path of the object that has the fields. Raises InvalidRequest."""
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"Invalid '{where}.name': must be 1 to 64 letters, digits, underscores and dashes.",
            param=f"{where}.name",
        )
    if schema is None:
        raise InvalidRequest(f"Missing required parameter: '{where}.schema'.", param=f"{where}.schema")
    return JsonFormat(schema)
