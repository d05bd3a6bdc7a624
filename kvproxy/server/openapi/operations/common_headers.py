"""Headers that several operations share."""

from __future__ import annotations

from kvproxy.server.openapi.operation import DocumentedAnswer, Parameter
from kvproxy.server.requests.receive_conversation import REUSE
from kvproxy.server.requests.session_headers import RETAIN
from kvproxy.server.requests.session_headers import SESSION as SESSION_NAME
from kvproxy.wire.answers.cost_bodies import COST_HEADERS
from kvproxy.wire.answers.retained_header import RETAINED

CACHED = ("Cache-Status",)
"""Headers of every answer of a model."""
TIMED = ("Server-Timing", RETAINED, *COST_HEADERS)
"""Headers of the local model's answers, but for a stream that had to begin before its prefill was done; those of a
session that wants its pages kept, and those of answers that a tariff prices."""

SESSION = (
    Parameter(
        RETAIN,
        "header",
        {"type": "string", "pattern": "^[0-9]{1,7}$"},
        "Seconds for which the prompt's own pages give way last; 0 releases those of the session. The answer is in "
        f"`{RETAINED}`.",
        "300",
    ),
    Parameter(
        SESSION_NAME,
        "header",
        {"type": "string", "pattern": "^[!-~]{1,256}$"},
        "The session's name, for its release. Default: `prompt_cache_key`.",
        "chat-7",
    ),
    Parameter(
        REUSE,
        "header",
        {"type": "string", "enum": ["any", "none"]},
        "`none`: the prompt is computed from scratch and leaves no page behind. Another place of `kv_reuse`.",
        "none",
    ),
)
"""Parameters of every operation that computes a prompt."""

IF_NONE_MATCH = Parameter(
    "If-None-Match",
    "header",
    {"type": "string"},
    "The ETag of an earlier answer: where it is still current, the answer is 304 without a body.",
    f'"{"0" * 64}"',
)
IF_MATCH = Parameter(
    "If-Match",
    "header",
    {"type": "string"},
    "The ETag that the content must have, or `*`: it must exist. Else the answer is 412, and nothing is changed.",
    f'"{"0" * 64}"',
)
IF_NONE_MATCH_ANY = Parameter(
    "If-None-Match",
    "header",
    {"type": "string"},
    "`*`: it must not exist yet; an ETag: it must have another one. Else the answer is 412, and nothing is changed.",
    "*",
)
UNCHANGED = DocumentedAnswer(
    None, 304, "Not changed: the content still has the ETag of the request.", ("ETag",)
)
