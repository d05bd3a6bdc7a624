"""Middleware that puts every request for a model into the feed of ``GET /kv/v1/requests`` when it has ended."""

from __future__ import annotations

import re
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.core import Miss, format_nano
from kvproxy.reply import Reply
from kvproxy.server.components import BILL, CALLER, COMPONENTS, ERROR_CODE, MODEL, REPLY, REQUEST_ID
from kvproxy.server.middleware.metering import LEFT
from kvproxy.wire.service.served_requests import KvRequest, Outcome

_PRODUCT = re.compile(r"[!-~]{1,64}")


@web.middleware
async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: put every request for a model into the feed when it has ended or failed."""
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
            request.app[COMPONENTS].feed.put(caller.scope, served)


def _served(request: web.Request, at: float, status: int, total_s: float) -> KvRequest:
    reply = request.get(REPLY)
    outcome, reason = _outcome(request, reply, status)
    decision = None if reply is None else reply.decision
    document = None if decision is None or decision.document is None else str(decision.document)
    served = KvRequest(
        object="kv_request",
        id=request[REQUEST_ID],
        at=at,
        client=client_of(request.headers.get("User-Agent", "")),
        endpoint=request.path[:64],
        model=request.get(MODEL),
        status=status,
        outcome=outcome,
        reason=reason,
        cause=None if not isinstance(decision, Miss) or decision.cause is None else decision.cause.value,
        document=document,
        prompt_tokens=None if reply is None else len(reply.prompt.token_ids),
        cached_tokens=None if reply is None else reply.started.cached_tokens,
        completion_tokens=None if reply is None else reply.meter.generated,
        ttft_s=None if reply is None else round(reply.ttft_s, 4),
        total_s=round(total_s, 4),
    )
    bill = request.get(BILL)
    charge = None if bill is None or bill.settled is None else bill.settled.charge
    if charge is not None:
        served["currency"] = charge.currency
        served["cost"] = format_nano(charge.cost)
        served["saved"] = format_nano(charge.saved)
    return served


def _outcome(request: web.Request, reply: Reply | None, status: int) -> tuple[Outcome, str | None]:
    if status == LEFT:
        return "left", None
    if status >= 400:
        return "refused", request.get(ERROR_CODE)
    if reply is None:
        return "bypass", None
    if isinstance(reply.decision, Miss):
        return "miss", reply.decision.reason.value
    return "hit", "collapsed" if reply.started.collapsed else None


def client_of(agent: str) -> str:
    """Return the first product of a ``User-Agent``: ``claude-cli/2.1.197``. Printable ASCII without blanks, at most 64
    characters."""
    found = _PRODUCT.search(agent)
    return found[0] if found else "unknown"
