"""pydantic's errors in OpenAI's words: the field as a client writes it, and the change to make."""

from __future__ import annotations

from pydantic import ValidationError

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.json_text import type_name


def field_path(location: tuple[int | str, ...]) -> str:
    """Write a location as a path: ``("messages", 0, "content", 1, "type")`` -> ``messages[0].content[1].type``."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path


def invalid(error: ValidationError) -> InvalidRequest:
    """Return the first error. It never repeats a client's value, which may be 30 KB of document."""
    fault = error.errors(include_url=False)[0]
    param = field_path(fault["loc"])
    if fault["type"] == "missing":
        return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if fault["type"].endswith("_type"):
        message += f", not {type_name(fault['input'])}"
    return InvalidRequest(f"Invalid '{param}': {message}.", param=param)
