"""A call's arguments and its result as a client remembers them: text, or the value that it stands for."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated

from pydantic import BeforeValidator, Field

from kvproxy.wire.bodies.given_type import given_type


def arguments_text(value: object) -> str:
    """``value`` as JSON text, spaced as models write it. Text stays what it is, JSON or not; null is no text."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def returned(value: object, part_types: Collection[str]) -> object:
    """The result of a tool, as text or as parts. A value of the tool's own making, which is neither, is its JSON.

    ``part_types``: those of the dialect; other types in a list are parts that nobody knows here.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and given_type(value) in part_types:
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


def as_given(value: object) -> object:
    """Null where a text may stand is an empty one."""
    return "" if value is None else value


GivenText = Annotated[str, BeforeValidator(as_given, json_schema_input_type=str)]
"""A name or an id that a client may have lost."""

NAMELESS = "unnamed"
"""The name of a call that came without one."""
