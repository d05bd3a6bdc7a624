"""Handlers of ``/kv/v1/usage``, ``/kv/v1/balance`` and ``/kv/v1/credit``."""

from __future__ import annotations

import uuid

from aiohttp import web

from kvproxy.errors import InvalidRequest, RouteNotFound
from kvproxy.ledger.ledger import Ledger
from kvproxy.ledger.ledger_reading import MOST_ROWS, RowQuery
from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.server.components import CALLER
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.market_access import market_of
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.market.ledger_types import (
    KvCredit,
    KvReadList,
    KvUsageList,
    kv_balance,
    kv_reads,
    kv_usage,
    parse_credit,
)
from kvproxy.wire.market.periods import parse_moment
from kvproxy.wire.market.quote_types import money_body

PAGE = 100
MOST_SEQ = 2**53
_PRIVATE = {"Cache-Control": "private, no-store"}


async def usage(request: web.Request) -> web.StreamResponse:
    """List the caller's own rows, or with ``as=publisher`` the reads of its documents."""
    ledger, caller = _ledger(request), request[CALLER].name
    role = request.query.get("as", "reader")
    if role not in ("reader", "publisher"):
        raise InvalidRequest("Invalid 'as': must be reader or publisher.", param="as")
    own = role == "reader"
    limit = _number(request, "limit", PAGE, MOST_ROWS)
    query = RowQuery(
        reader=caller if own else None,
        publisher=None if own else caller,
        since_ms=_moment(request, "from"),
        until_ms=_moment(request, "to"),
        after=_number(request, "after", 0, MOST_SEQ),
        limit=min(limit, MOST_ROWS - 1) + 1,
    )
    found = await ledger.rows(query)
    rows = found[: query.limit - 1]
    more, last = len(found) > len(rows), rows[-1].seq if rows else None
    if own:
        data = [kv_usage(row) for row in rows]
        listed: KvUsageList = {"object": "list", "data": data, "has_more": more, "last_seq": last}
        return json_response(listed, headers=_PRIVATE)
    names = _names(request)
    reads = [read for row in rows for read in kv_reads(row, caller, names.reader)]
    published: KvReadList = {"object": "list", "data": reads, "has_more": more, "last_seq": last}
    return json_response(published, headers=_PRIVATE)


async def balance(request: web.Request) -> web.StreamResponse:
    """Return the caller's balance, its credit, and what it has earned."""
    ledger, caller = _ledger(request), request[CALLER].name
    return json_response(kv_balance(caller, await ledger.balance(caller), ledger.currency), headers=_PRIVATE)


async def credit(request: web.Request) -> web.StreamResponse:
    """Book a credit to a tenant's balance, once for each id."""
    ledger, body = _ledger(request), parse_credit(await read_object(request))
    id, nano = body.id or uuid.uuid4().hex, body.nano()
    after = await ledger.credit(body.tenant, nano, body.kind, body.reference, id=id)
    booked: KvCredit = {
        "object": "kv_credit",
        "id": id,
        "tenant": body.tenant,
        "credited": money_body(nano, ledger.currency),
        "balance": money_body(after, ledger.currency),
    }
    return json_response(booked, headers=_PRIVATE)


def _ledger(request: web.Request) -> Ledger:
    ledger = market_of(request).ledger
    if ledger is None:
        raise RouteNotFound(f"Invalid URL ({request.method} {request.path}): this proxy has no ledger.")
    return ledger


def _names(request: web.Request) -> ReaderPseudonyms:
    keys = market_of(request).host_keys
    if keys is None:
        raise RouteNotFound("This proxy has no keys, and so no names of readers for publishers.")
    return ReaderPseudonyms(keys.pseudonym_secret)


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    number = whole_number(request.query.get(name, str(default)), most)
    if number is None:
        raise InvalidRequest(f"Invalid '{name}': must be an integer of 0 to {most}.", param=name)
    return number


def _moment(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    return None if text is None else parse_moment(text, param=name) * 1000
