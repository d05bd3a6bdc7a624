"""The attributes of what a request asks a model for, out of its body, in any dialect.

Numbers and switches alone: texts of a body are the client's own. That is why ``gen_ai.request.stop_sequences`` is left
out: a stop sequence may be a name or a line of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from kvproxy.telemetry.tracing.attribute_names import (
    CHOICES,
    DIMENSIONS,
    FREQUENCY_PENALTY,
    MAX_TOKENS,
    OUTPUT_TYPE,
    PRESENCE_PENALTY,
    REQUEST_STREAM,
    SEED,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    Attributes,
)

_WHOLE: Final = (
    ("max_tokens", MAX_TOKENS),
    ("max_completion_tokens", MAX_TOKENS),
    ("max_output_tokens", MAX_TOKENS),
    ("seed", SEED),
    ("n", CHOICES),
    ("dimensions", DIMENSIONS),
)
"""Fields of all dialects, and their names in the conventions. Of two that mean the same the later one counts."""

_REAL: Final = (
    ("temperature", TEMPERATURE),
    ("top_p", TOP_P),
    ("top_k", TOP_K),
    ("frequency_penalty", FREQUENCY_PENALTY),
    ("presence_penalty", PRESENCE_PENALTY),
)

_MOST: Final = 2**63
"""Attributes are 64 bits wide; a client may send any number."""


def asked_attributes(body: Mapping[str, Any]) -> Attributes:
    """Return the settings that a body of any dialect names. A value of the wrong type is left out: the request is
    refused for it elsewhere.

    Example: ``asked_attributes({"temperature": 0})["gen_ai.request.temperature"] == 0.0``
    """
    found: dict[str, AttributeValue] = {}
    for field, name in _WHOLE:
        if type(value := body.get(field)) is int and -_MOST <= value < _MOST:
            found[name] = value
    for field, name in _REAL:
        value = body.get(field)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST:
            found[name] = float(value)
    if found.get(CHOICES) == 1:
        del found[CHOICES]  # the conventions name it where it is another
    if body.get("stream") is True:
        found[REQUEST_STREAM] = True
    if (form := _output_type(body)) is not None:
        found[OUTPUT_TYPE] = form
    return found


def _output_type(body: Mapping[str, Any]) -> str | None:
    """Return the type of answer that is asked for: Chat Completions' field, or that of Responses or of Messages."""
    text, output = body.get("text"), body.get("output_config")
    for form in (
        body.get("response_format"),
        text.get("format") if isinstance(text, Mapping) else None,
        output.get("format") if isinstance(output, Mapping) else None,
    ):
        if isinstance(form, Mapping) and isinstance(kind := form.get("type"), str):
            return "json" if kind.startswith("json") else "text" if kind == "text" else None
    return None
