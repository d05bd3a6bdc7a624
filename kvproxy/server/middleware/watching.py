"""Middleware that puts every request for a model into the feed of ``GET /kv/v1/requests`` when it has ended."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.core import Decision, Miss
from kvproxy.events import Started
from kvproxy.pipeline import Reply
from kvproxy.server.components import CALLER, ERROR_CODE, MODEL, PARTS, REQUEST_ID
from kvproxy.server.middleware.metering import LEFT
from kvproxy.telemetry.metrics import Meter
from kvproxy.wire.service.served_requests import KvRequest, Outcome

_PRODUCT = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class _Answered:
    """Of a reply of the local model, when its first token was known."""

    decision: Decision
    started: Started
    prompt_tokens: int
    ttft_s: float
    meter: Meter


_ANSWERED = web.RequestKey("ANSWERED", _Answered)


def note_reply(request: web.Request, reply: Reply) -> None:
    """Remember what is told of ``request`` when it has ended. Of several replies, the first."""
    if _ANSWERED not in request:
        tokens, ttft_s = len(reply.prompt.token_ids), reply.timings.elapsed_s
        request[_ANSWERED] = _Answered(reply.decision, reply.started, tokens, ttft_s, reply.meter)


@web.middleware
async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Puts every request for a model into the feed when it has ended, however it ended."""
    began, at = time.perf_counter(), time.time()
    status = LEFT
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        caller = request.get(CALLER)
        if caller is not None and request.method == "POST" and request.path.startswith("/v1/"):
            served = _served(request, at, status, time.perf_counter() - began)
            request.app[PARTS].feed.put(caller.scope, served)


def _served(request: web.Request, at: float, status: int, total_s: float) -> KvRequest:
    answered = request.get(_ANSWERED)
    outcome, reason = _outcome(request, answered, status)
    decision = None if answered is None else answered.decision
    document = None if decision is None or decision.document is None else str(decision.document)
    return KvRequest(
        object="kv_request",
        id=request[REQUEST_ID],
        at=at,
        client=client_of(request.headers.get("User-Agent", "")),
        endpoint=request.path[:64],
        model=request.get(MODEL),
        status=status,
        outcome=outcome,
        reason=reason,
        document=document,
        prompt_tokens=None if answered is None else answered.prompt_tokens,
        cached_tokens=None if answered is None else answered.started.cached_tokens,
        completion_tokens=None if answered is None else answered.meter.generated,
        ttft_s=None if answered is None else round(answered.ttft_s, 4),
        total_s=round(total_s, 4),
    )


def _outcome(request: web.Request, answered: _Answered | None, status: int) -> tuple[Outcome, str | None]:
    if status == LEFT:
        return "left", None
    if status >= 400:
        return "refused", request.get(ERROR_CODE)
    if answered is None:
        return "bypass", None
    if isinstance(answered.decision, Miss):
        return "miss", answered.decision.reason.value
    return "hit", "collapsed" if answered.started.collapsed else None


def client_of(agent: str) -> str:
    """The first product of a ``User-Agent``: ``claude-cli/2.1.197``. Printable ASCII without blanks, at most 64."""
    found = _PRODUCT.search(agent)
    return found[0] if found else "unknown"
