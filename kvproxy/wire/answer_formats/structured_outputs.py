"""vLLM's ``structured_outputs``: one constraint of several kinds, and the layout of JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.answer_formats.read_format import (
    choice_format,
    grammar_format,
    json_format,
    regex_format,
    tags_format,
)

KINDS: Mapping[str, Callable[[object, str], AnswerFormat]] = {
    "json": json_format,
    "regex": regex_format,
    "choice": choice_format,
    "grammar": grammar_format,
    "json_object": lambda value, param: JsonFormat(param=param),
    "structural_tag": tags_format,
}
_HINTS = frozenset(("disable_fallback", "disable_any_whitespace", "backend"))
"""Accepted and ignored: the answer's JSON has one space behind each comma and colon and no other, with any backend."""
_LAYOUT = ("whitespace_pattern", "disable_additional_properties")


def structured_outputs_format(value: object, param: str) -> AnswerFormat | None:
    """Read the one constraint of ``structured_outputs``.

    Raises InvalidRequest for two kinds at once, UnsupportedParameter for an unknown key.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"Invalid '{param}': must be an object.", param=param)
    present = {key: v for key, v in value.items() if is_set(v)}
    for key in present:
        if key not in KINDS and key not in _HINTS and key not in _LAYOUT and not key.startswith("_"):
            raise UnsupportedParameter(
                f"Unsupported parameter: '{param}.{key[:64]}' is not supported by the local model. Leave it out.",
                param=f"{param}.{key[:64]}",
            )
    kinds = [key for key in present if key in KINDS]
    if len(kinds) > 1:
        raise InvalidRequest(
            f"Invalid '{param}': '{kinds[0]}' and '{kinds[1]}' cannot both hold; send one of them.",
            param=param,
        )
    if "whitespace_pattern" in present:
        check_whitespace(present["whitespace_pattern"], f"{param}.whitespace_pattern")
    if not kinds:
        return None
    found = KINDS[kinds[0]](present[kinds[0]], f"{param}.{kinds[0]}")
    closed = present.get("disable_additional_properties") and isinstance(found, JsonFormat) and found.schema
    if closed and isinstance(found, JsonFormat):
        return replace(found, schema=_closed(found.schema))
    return found


def is_set(value: object) -> bool:
    """Return whether a field asks for anything: engines' clients send ``null`` and ``false`` for unused fields."""
    return value is not None and value is not False


def check_whitespace(pattern: object, param: str) -> None:
    """Accept a whitespace pattern that admits both one space and none.

    JSON is written with either between its parts. Raises UnsupportedParameter.
    """
    try:
        fits = isinstance(pattern, str) and all(re.fullmatch(pattern, text) for text in ("", " "))
    except re.error:
        fits = False
    if not fits:
        raise UnsupportedParameter(
            f"Unsupported value: '{param}' must admit one space and none; JSON is written with one space behind each "
            "comma and colon here. Leave it out.",
            param=param,
        )


def _closed(value: Any) -> Any:
    """Return a schema whose objects have no properties but those they name."""
    if isinstance(value, list):
        return [_closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {k: inner if k in ("const", "enum") else _closed(inner) for k, inner in value.items()}
    if isinstance(out.get("properties"), dict) and out.get("type", "object") == "object":
        out.setdefault("additionalProperties", False)
    return out
