"""Ended requests for tests of the usage figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvproxy.core import DocumentRef
from kvproxy.telemetry.usage.ended_request import DocumentPassage, EndedRequest

NOON = 20_000 * 86_400 + 43_200.0
"""Noon of day 20,000."""

HANDBOOK = DocumentRef("handbook", 3)

HIT = EndedRequest(
    id="r1",
    tenant="ann",
    at=NOON,
    model="small",
    hit=True,
    prompt_tokens=1_000,
    cached_tokens=900,
    completion_tokens=10,
    ttft_s=0.02,
    saved_us=450_000,
    currency="USD",
    saved_nano=9_000,
    passages=(DocumentPassage(HANDBOOK, 800),),
)

MISS = EndedRequest(
    id="r2",
    tenant="ann",
    at=NOON,
    model="small",
    hit=False,
    reason="no-document",
    cause="timestamp",
    document="handbook@3",
    prompt_tokens=1_000,
    completion_tokens=10,
    ttft_s=0.5,
    currency="USD",
    passages=(DocumentPassage(HANDBOOK, 0),),
)


def hit(**changed: Any) -> EndedRequest:
    return replace(HIT, **changed)


def miss(**changed: Any) -> EndedRequest:
    return replace(MISS, **changed)
