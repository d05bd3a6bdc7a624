"""The operations of the ledger: usage, balance, credit."""

from __future__ import annotations

from kvproxy.errors import AlreadyUsed, InvalidRequest, RouteNotFound, Unavailable
from kvproxy.ledger.ledger_reading import MOST_ROWS
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import ledger_route
from kvproxy.wire.market.ledger_types import CreditBody, KvBalance, KvCredit, KvReadList, KvUsageList

_TAG = "Ledger"
_PRIVATE = ("Cache-Control",)
_TIME = {"type": "string"}

LEDGER = (
    Operation(
        id="listUsage",
        method="GET",
        path="/kv/v1/usage",
        handler=ledger_route.usage,
        needs="ledger",
        tag=_TAG,
        summary="List one's own rows of the ledger",
        description=(
            "Requests, top-ups and refunds of the caller's tenant, the oldest first. With `as=publisher`: the reads of "
            "the caller's documents, whose readers have the names that receipts give them."
        ),
        parameters=(
            Parameter(
                "as", "query", {"type": "string", "enum": ["reader", "publisher"]}, "Whose rows.", "reader"
            ),
            Parameter(
                "after",
                "query",
                {"type": "integer", "minimum": 0, "maximum": ledger_route.MOST_SEQ, "default": 0},
                "`last_seq` of the page before.",
                "0",
            ),
            Parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 0, "maximum": MOST_ROWS, "default": ledger_route.PAGE},
                "Rows of a page.",
                "20",
            ),
            Parameter("from", "query", _TIME, "Unix seconds, or a day or moment in UTC.", "2026-11-01"),
            Parameter("to", "query", _TIME, "The end, not included.", "2030-01-01"),
        ),
        answers=(
            DocumentedAnswer(KvUsageList | KvReadList, description="A page of rows.", headers=_PRIVATE),
        ),
        errors=(InvalidRequest, RouteNotFound, Unavailable),
    ),
    Operation(
        id="retrieveBalance",
        method="GET",
        path="/kv/v1/balance",
        handler=ledger_route.balance,
        needs="ledger",
        tag=_TAG,
        summary="Get one's own balance",
        answers=(DocumentedAnswer(KvBalance, description="The balance.", headers=_PRIVATE),),
        errors=(RouteNotFound, Unavailable),
    ),
    Operation(
        id="creditTenant",
        method="POST",
        path="/kv/v1/credit",
        handler=ledger_route.credit,
        needs="admin",
        tag=_TAG,
        summary="Add to a tenant's balance",
        description="Booked once for each `id`.",
        body=CreditBody,
        answers=(DocumentedAnswer(KvCredit, description="The credit is booked.", headers=_PRIVATE),),
        errors=(*BODY, AlreadyUsed, RouteNotFound, Unavailable),
        example={"tenant": "alice", "amount": "5.00", "reference": "invoice 17"},
    ),
)
