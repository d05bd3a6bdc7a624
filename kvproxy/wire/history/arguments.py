"""A call's arguments and its result as a client sends them back: text, or the value that it stands for."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated

from pydantic import BeforeValidator, Field

from kvproxy.wire.bodies.declared_type import declared_type


def arguments_text(value: object) -> str:
    """Return ``value`` as JSON text, spaced as models write it.

    Text stays as it is, JSON or not; null is an empty text.
    """
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def tool_result_content(value: object, part_types: Collection[str]) -> object:
    """Return the result of a tool as text or as parts. A value that is neither is its JSON.

    ``part_types``: those of the dialect; other types in a list are parts of an unknown type.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and declared_type(value) in part_types:
        return [value]
    if isinstance(value, list) and all(_may_be_part(item) for item in value):
        return value
    return arguments_text(value)


def _may_be_part(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("type"), str))


ArgumentsText = Annotated[
    str,
    BeforeValidator(arguments_text, json_schema_input_type=str),
    Field(description="JSON text, as the model wrote it."),
]


def null_as_empty(value: object) -> object:
    """Return an empty text for null, in a place for text."""
    return "" if value is None else value


TextOrEmpty = Annotated[str, BeforeValidator(null_as_empty, json_schema_input_type=str)]
"""A name or an id that a client may have lost."""

NAMELESS = "unnamed"
"""The name of a call that came without one."""
