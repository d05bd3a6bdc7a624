"""Handlers of a publisher's statement: its download, and its check on this host line by line."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from kvproxy.core import Caller
from kvproxy.dashboard.views.publishers_view import CheckedStatement, checked_statement
from kvproxy.errors import InvalidRequest, RouteNotFound, SignatureRefused
from kvproxy.receipts.canonical_jws import unverified_claims, verify_claims
from kvproxy.receipts.checkpoint_check import check_checkpoints
from kvproxy.receipts.statement_check import check_statements
from kvproxy.receipts.statement_claims import STATEMENT_TYP
from kvproxy.receipts.statement_file import StatementFile, parse_statement
from kvproxy.server.answers.statement_answer import (
    StatementPeriod,
    asked_period,
    made_statement,
    statement_response,
)
from kvproxy.server.components import CALLER
from kvproxy.server.dashboard.dashboard_answer import view_answer
from kvproxy.server.dashboard.publishers_view_route import period_of
from kvproxy.server.middleware.wrong_url import root_of
from kvproxy.server.requests.market_access import market_of

MOST_COMPARED = 5000
"""Reads up to which a statement is compared with its receipts here, which are signed for that, 0.2 ms each."""


async def download_statement(request: web.Request) -> web.StreamResponse:
    """Return the statement of a period as a file: the answer of ``GET /kv/v1/statements``, for its publisher with its
    receipts. They name documents, private ones too, which no view tells an operator."""
    period = _period(request)
    own = period.publisher == request[CALLER].name
    made = await made_statement(request, replace(period, receipts=own))
    since, until = (datetime.fromtimestamp(at, UTC).date() for at in (period.since, period.until))
    headers = {"Content-Disposition": f'attachment; filename="statement-{since}-{until}.json"'}
    return await statement_response(made, {**headers, "Cache-Control": "no-store"})


async def statement(request: web.Request) -> web.StreamResponse:
    """Make the statement of a period and check it: its signature, its Merkle root, its receipts and its sums."""
    wanted = _period(request)
    made = await made_statement(request, wanted)
    compared = len(made.signed.claims["receipts"]) <= MOST_COMPARED
    if compared and made.signed.claims["receipts"]:
        made = await made_statement(request, replace(wanted, receipts=True))
    signed = made.signed
    file = StatementFile(signed.jws, signed.receipts, signed.checkpoint)
    checked = await asyncio.to_thread(_check, file, _jwks(request), compared=compared)
    shown = {"publisher": wanted.publisher, "query": request.query_string, "file": ""}
    return _answer(request, checked, {**shown, "uncompared": not compared})


async def check_file(request: web.Request) -> web.StreamResponse:
    """Check a statement that was downloaded earlier, here or with ``kvproxy statement fetch``."""
    field = (await request.post()).get("statement")
    if not isinstance(field, web.FileField):
        raise InvalidRequest("Choose the file of a statement.", param="statement")
    jwks, sent = _jwks(request), field.file
    file = await asyncio.to_thread(lambda: _parsed(sent.read()))
    compared = bool(file.receipts)
    checked = await asyncio.to_thread(_check, file, jwks, compared=compared)
    shown = {"publisher": "", "query": "", "file": field.filename[:100]}
    return _answer(request, checked, {**shown, "uncompared": not compared and checked.reads > 0})


def _answer(request: web.Request, checked: CheckedStatement, shown: dict[str, Any]) -> web.Response:
    statement = {"checked": checked, **shown}
    return view_answer(request, "statement.html", {"statement": statement, "host_url": root_of(request)})


def _period(request: web.Request) -> StatementPeriod:
    caller: Caller = request[CALLER]
    since, until = period_of(request.query.get("from", ""), request.query.get("to", ""))
    asked = {"from": since, "to": until, "publisher": request.query.get("publisher", "")}
    return asked_period(asked, caller)


def _jwks(request: web.Request) -> Mapping[str, Any]:
    keys = market_of(request).host_keys
    if keys is None:
        raise RouteNotFound("This proxy has no keys of its own, and signs no statements.")
    return keys.jwks()


def _parsed(content: bytes) -> StatementFile:
    try:
        return parse_statement(content.decode())
    except ValueError as e:
        raise InvalidRequest(
            "The file holds no statement. Choose one downloaded here, or written by `kvproxy statement fetch`.",
            param="statement",
        ) from e


def _check(file: StatementFile, jwks: Mapping[str, Any], *, compared: bool) -> CheckedStatement:
    """Check a statement with its receipts, as `kvproxy statement verify` does. Blocking."""
    check = check_statements([file.jws], file.receipts, jwks, complete=compared)
    notes = [] if file.checkpoint is None else [file.checkpoint]
    log_faults = check_checkpoints([file.jws], notes, jwks)
    try:
        key_id = verify_claims(file.jws, STATEMENT_TYP, jwks).key_id
    except SignatureRefused:
        key_id = "(none of this host's)"
    return checked_statement(unverified_claims(file.jws), key_id, check, log_faults, compared=compared)
