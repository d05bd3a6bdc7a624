"""A call's arguments as a client remembers them: JSON text, or the object that it stands for."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BeforeValidator, Field


def arguments_text(value: object) -> str:
    """``value`` as JSON text, spaced as models write it. Text stays what it is, JSON or not; null is no text."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


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
