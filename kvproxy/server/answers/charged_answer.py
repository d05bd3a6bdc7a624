"""`charged`: the bill of a request from its handler's side: who ended it decides whether anything is paid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from kvproxy.charging.charge_requests import Offer
from kvproxy.charging.request_bill import Bill
from kvproxy.server.components import BILL, CALLER, COMPONENTS
from kvproxy.wire.answers.cost_bodies import cost_headers, hold_headers

QUOTE_HEADER = "x-kvproxy-quote"
RECEIPT_HEADER = "x-kvproxy-receipt"


@asynccontextmanager
async def charged(request: web.Request, id: str) -> AsyncIterator[Bill]:
    """Open the bill of a request; ``id``, unique for ever, is the key of its booking. Belongs around everything that
    the price is for, deadlines included, and inside of the stream that hides a client's leaving.

    The block settles the bill before it sends the last byte. A client that leaves before pays for what was computed:
    its request ends by cancellation, or by an error of its connection. Everything else that ends the block, a
    deadline or a shutdown too, costs nothing.

    Example: ``async with charged(request, head.id) as bill: ...``
    """
    bill = request.app[COMPONENTS].pipeline.bill(request[CALLER], id, offer_of(request))
    request[BILL] = bill
    try:
        yield bill
    except asyncio.CancelledError:
        if not request.app[COMPONENTS].drain.expired:
            bill.leave()
        raise
    except ConnectionError:
        # One of an upstream's connections is not the client's: it is still there then.
        if request.transport is None or request.transport.is_closing():
            bill.leave()
        raise
    finally:
        bill.release()


def offer_of(request: web.Request) -> Offer:
    """Return what the request's headers say about paying for it."""
    headers = request.headers
    receipt = headers.get(RECEIPT_HEADER, "").strip().lower() in ("true", "1", "yes")
    return Offer(headers.get(QUOTE_HEADER) or None, receipt, headers)


async def settled_headers(bill: Bill) -> dict[str, str]:
    """Return the headers of an answer whose bill is settled: cost, cold cost, and those of its payment."""
    charge = bill.settled.charge if bill.settled is not None else None
    return {**cost_headers(charge), **await bill.paid()}


def preview_headers(bill: Bill) -> dict[str, str]:
    """Return the headers of a stream, whose cost is known at its end: what is held, and the prompt's cold cost."""
    preview = bill.preview
    return {} if preview is None else hold_headers(preview.hold.nano, preview.cold_prompt.nano)
