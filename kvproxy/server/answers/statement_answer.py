"""`made_statement`: a publisher's signed statement of the period that a query names, and its JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from kvproxy.core import Caller
from kvproxy.receipts.issued_receipts import SignedStatement
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.components import CALLER
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.market_access import receipts_of
from kvproxy.wire.market.periods import parse_moment
from kvproxy.wire.market.receipt_types import KvStatement


@dataclass(frozen=True, slots=True)
class StatementPeriod:
    """The publisher and the period of a statement, in Unix seconds: ``until`` is not in it."""

    publisher: str
    since: int
    until: int
    receipts: bool = False
    """With all of its receipts."""


def asked_period(query: Mapping[str, str], caller: Caller) -> StatementPeriod:
    """Return what a query asks for: by default the caller's own reads, from the beginning to now. Raises
    InvalidRequest.

    Example: ``asked_period(request.query, request[CALLER])``
    """
    return StatementPeriod(
        publisher=query.get("publisher") or caller.name,
        since=parse_moment(query.get("from", "0"), param="from"),
        until=parse_moment(query["to"], param="to") if "to" in query else int(time.time()) + 1,
        receipts=query.get("receipts", "false").lower() in ("true", "1", "yes"),
    )


@dataclass(frozen=True, slots=True)
class MadeStatement:
    """A signed statement with the period that was asked for."""

    period: StatementPeriod
    signed: SignedStatement


async def made_statement(request: web.Request, wanted: StatementPeriod) -> MadeStatement:
    """Make the statement for the request's caller. Raises PermissionDenied, InvalidRequest.

    Example: ``made = await made_statement(request, asked_period(request.query, request[CALLER]))``
    """
    signed = await receipts_of(request).statement(
        wanted.publisher, wanted.since, wanted.until, request[CALLER], receipts=wanted.receipts
    )
    return MadeStatement(wanted, signed)


async def statement_response(made: MadeStatement, headers: dict[str, str] | None = None) -> web.Response:
    """Return the JSON of a statement.

    Example: ``await statement_response(made, {"Content-Disposition": "attachment"})``
    """
    wanted, signed = made.period, made.signed
    answer: KvStatement = {
        "object": "kv_statement",
        "publisher": wanted.publisher,
        "since": wanted.since,
        "until": wanted.until,
        "reads": len(signed.claims["receipts"]),
        "tokens": signed.claims["tokens"],
        "currency": signed.claims["currency"],
        "publisher_share": signed.claims["publisher_share"],
        "jws": signed.jws,
        "receipts": list(signed.receipts),
        "checkpoint": signed.checkpoint,
    }
    size = len(signed.jws) + sum(map(len, signed.receipts))
    return await off_loop_if_large(size, lambda: json_response(answer, headers=headers))
