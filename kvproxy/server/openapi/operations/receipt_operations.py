"""The operations on receipts, statements and checkpoints."""

from __future__ import annotations

from kvproxy.errors import InvalidRequest, PermissionDenied, ReceiptNotFound, RouteNotFound
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.routes import receipts_route
from kvproxy.wire.market.receipt_types import KvCheckpoint, KvProof, KvReceipt, KvReceiptList, KvStatement

_TAG = "Receipts"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 1024}
_LEAVES = {"type": "integer", "minimum": 1, "maximum": receipts_route.MOST_LEAVES}
_PUBLISHER = Parameter("publisher", "query", _TEXT, "The publisher; the caller itself by default.", "acme")
_OLD = Parameter("first", "query", _LEAVES, "The size of the earlier log.", "100")
_NEW = Parameter("size", "query", _LEAVES, "The size of the later log.", "120")

RECEIPTS = (
    Operation(
        id="listReceipts",
        method="GET",
        path="/kv/v1/receipts",
        handler=receipts_route.list_receipts,
        needs="ledger",
        tag=_TAG,
        summary="List the receipts of one's own request",
        description="One for each document that the request read, made again with the key of their time.",
        parameters=(Parameter("request", "query", _TEXT, "The answer's `id`.", "chatcmpl-0123456789abcdef"),),
        answers=(DocumentedAnswer(KvReceiptList, description="The receipts."),),
        errors=(InvalidRequest, ReceiptNotFound, RouteNotFound),
    ),
    Operation(
        id="retrieveReceipt",
        method="GET",
        path="/kv/v1/receipts/{receipt}",
        handler=receipts_route.get_receipt,
        needs="ledger",
        tag=_TAG,
        summary="Get a receipt",
        description=(
            "For the reader of the request, and for the document's publisher. `kvproxy receipt verify` checks it "
            "offline with the host's JWKS."
        ),
        parameters=(Parameter("receipt", "path", _TEXT, "The receipt's id.", "rcpt_0123456789abcdef"),),
        answers=(DocumentedAnswer(KvReceipt, description="The receipt."),),
        errors=(ReceiptNotFound, RouteNotFound),
    ),
    Operation(
        id="retrieveStatement",
        method="GET",
        path="/kv/v1/statements",
        handler=receipts_route.get_statement,
        needs="ledger",
        tag=_TAG,
        summary="Get a publisher's statement",
        description=(
            "Signed: the hashes of all receipts of a period, in the publisher's Merkle tree of RFC 9162, with its "
            "roots before and after them, and the sums. `kvproxy statement verify` names each read that is missing, "
            "changed or added."
        ),
        parameters=(
            _PUBLISHER,
            Parameter("from", "query", _TEXT, "Unix seconds or ISO 8601; the beginning.", "2026-11-01"),
            Parameter("to", "query", _TEXT, "Unix seconds or ISO 8601, not included; now.", "2026-12-01"),
            Parameter(
                "receipts", "query", {"type": "string", "enum": ["true", "false"]}, "With receipts.", "true"
            ),
        ),
        answers=(DocumentedAnswer(KvStatement, description="The statement."),),
        errors=(InvalidRequest, PermissionDenied, RouteNotFound),
    ),
    Operation(
        id="proveStatement",
        method="GET",
        path="/kv/v1/statements/proof",
        handler=receipts_route.get_statement_proof,
        needs="ledger",
        tag=_TAG,
        summary="Prove that a receipt is in its publisher's log, or that the log has only grown",
        parameters=(
            _PUBLISHER,
            Parameter("receipt", "query", _TEXT, "A receipt's id.", "rcpt_0123456789abcdef"),
            _OLD,
            _NEW,
        ),
        answers=(DocumentedAnswer(KvProof, description="An inclusion or a consistency proof of RFC 9162."),),
        errors=(InvalidRequest, PermissionDenied, ReceiptNotFound, RouteNotFound),
    ),
    Operation(
        id="retrieveCheckpoint",
        method="GET",
        path="/kv/v1/checkpoint",
        handler=receipts_route.get_checkpoint,
        tag=_TAG,
        summary="Get a signed checkpoint of the whole log",
        description="Size and root of the Merkle tree over all rows of the ledger, as transparency logs sign them.",
        answers=(DocumentedAnswer(KvCheckpoint, description="The checkpoint."),),
        errors=(RouteNotFound,),
        open=True,
    ),
    Operation(
        id="proveCheckpoint",
        method="GET",
        path="/kv/v1/checkpoint/proof",
        handler=receipts_route.get_checkpoint_proof,
        needs="ledger",
        tag=_TAG,
        summary="Prove that one's own request is in the log, or that the log has only grown",
        parameters=(
            Parameter("request", "query", _TEXT, "The answer's `id`.", "chatcmpl-0123456789abcdef"),
            _OLD,
            _NEW,
        ),
        answers=(DocumentedAnswer(KvProof, description="An inclusion or a consistency proof of RFC 9162."),),
        errors=(InvalidRequest, ReceiptNotFound, RouteNotFound),
    ),
)
