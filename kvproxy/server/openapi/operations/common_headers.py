"""Headers that several operations share."""

from __future__ import annotations

from kvproxy.server.openapi.operation import DocumentedAnswer, Parameter
from kvproxy.wire.answers.cost_bodies import COST_HEADERS

CACHED = ("Cache-Status",)
"""Headers of every answer of a model."""
TIMED = ("Server-Timing", *COST_HEADERS)
"""Headers of the local model's answers, but for a stream that had to begin before its prefill was done, and those of
answers that a tariff prices."""

IF_NONE_MATCH = Parameter(
    "If-None-Match",
    "header",
    {"type": "string"},
    "The ETag of an earlier answer: where it is still current, the answer is 304 without a body.",
    f'"{"0" * 64}"',
)
UNCHANGED = DocumentedAnswer(
    None, 304, "Not changed: the content still has the ETag of the request.", ("ETag",)
)
