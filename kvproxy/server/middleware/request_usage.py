"""`ended_request`: what a request that has ended adds to the usage figures, from its reply and its bill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from aiohttp import web

from kvproxy.charging.request_bill import Bill
from kvproxy.core import Hit, Miss
from kvproxy.reply import Reply
from kvproxy.server.components import BILL, CALLER, MODEL, REPLY, REQUEST_ID
from kvproxy.telemetry.usage.ended_request import DocumentPassage, EndedRequest
from kvproxy.wire.service.served_requests import KvRequest


def ended_request(
    request: web.Request, served: KvRequest, saved_us: Callable[[str, int], int]
) -> EndedRequest:
    """Return what a request adds to the figures. ``served``: its entry of the feed. ``saved_us``: microseconds that a
    prefill of so many tokens of a model takes.

    Tokens are those of the bill: of all prompts of the request, and where the client has left, of what was computed.

    Example: ``usage.note(ended_request(request, served, usage.saved_us))``
    """
    reply, bill, model = request.get(REPLY), request.get(BILL), request.get(MODEL) or ""
    if reply is None:
        return EndedRequest(request[REQUEST_ID], request[CALLER].name, time.time(), model)
    metered = None if bill is None else bill.metered
    charge = None if bill is None or bill.settled is None else bill.settled.charge
    decision = reply.decision
    cached = (served["cached_tokens"] or 0) if metered is None else metered.cached_tokens
    if reply.started.parsed:
        cached = 0  # what an upstream found in its own cache was skipped there
    return EndedRequest(
        id=request[REQUEST_ID],
        tenant=request[CALLER].name,
        at=time.time(),
        model=model,
        hit=isinstance(decision, Hit),
        reason=decision.reason.value if isinstance(decision, Miss) else None,
        cause=served["cause"],
        document=served["document"],
        prompt_tokens=len(reply.prompt.token_ids) if metered is None else metered.prompt_tokens,
        cached_tokens=cached,
        completion_tokens=(served["completion_tokens"] or 0)
        if metered is None
        else metered.completion_tokens,
        ttft_s=reply.ttft_s,
        saved_us=saved_us(model, cached),
        currency="" if charge is None else charge.currency,
        saved_nano=0 if charge is None else charge.saved,
        passages=tuple(_passages(reply, bill)),
        answer="" if bill is None else bill.request_id,
        retain=request[CALLER].retain,
    )


def _passages(reply: Reply, bill: Bill | None) -> Iterator[DocumentPassage]:
    """Yield each document of each prompt, with its positions below the number of cached ones."""
    for line in (reply.line,) if bill is None else bill.lines:
        cached = 0 if line.upstream else line.used().cached_tokens
        for span in line.spans:
            yield DocumentPassage(span.document, max(0, min(cached, span.end) - span.start))
