"""Handler of ``POST /kv/v1/topup``: a payment from outside into the caller's balance."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import RouteNotFound
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.market.quote_types import money_body
from kvproxy.wire.market.topup_types import KvTopup, parse_topup


async def topup(request: web.Request) -> web.StreamResponse:
    """Ask for a payment with 402, or take the one in the headers. Raises PaymentRequired with the challenges,
    AlreadyUsed, PermissionDenied where no payment is configured."""
    market = request.app[COMPONENTS].market
    if market is None or market.payments is None:
        raise RouteNotFound("There is no market here: this proxy has no accounts, and reads are free.")
    payments = market.payments
    nano = parse_topup(await read_object(request))
    demand = PaymentDemand(request[CALLER].name, nano, payments.currency, str(request.url), "Top-up")
    done = await payments.topup(request.headers, demand)
    answer: KvTopup = {
        "object": "kv_topup",
        "payment": done.payment,
        "transaction": done.reference,
        "credited": money_body(done.nano, payments.currency),
        "balance": money_body(done.balance or 0, payments.currency),
    }
    return json_response(answer, headers={**done.headers, "Cache-Control": "private, no-store"})
