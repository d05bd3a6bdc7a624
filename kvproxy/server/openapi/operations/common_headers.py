"""Headers that several operations have in common."""

from __future__ import annotations

from kvproxy.server.openapi.operation import DocumentedAnswer, Parameter

CACHED = ("Cache-Status",)
"""Of every answer of a model."""
TIMED = ("Server-Timing",)
"""Of the local model's answers, but for a stream that had to begin before its prefill was done."""

IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", {"type": "string"}, "An ETag that is known already.", f'"{"0" * 64}"'
)
UNCHANGED = DocumentedAnswer(None, 304, "It still has the ETag that the request named.", ("ETag",))
