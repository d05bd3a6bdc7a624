"""Handlers of receipts, statements, their proofs, and checkpoints of the host's log."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.receipts.canonical_jws import unverified_claims
from kvproxy.receipts.log_checkpoints import MerkleProof
from kvproxy.server.answers.statement_answer import asked_period, made_statement, statement_response
from kvproxy.server.components import CALLER
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.market_access import receipts_of
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.market.receipt_types import (
    KvCheckpoint,
    KvProof,
    KvReceipt,
    KvReceiptList,
)

MOST_LEAVES = 2**40
"""The largest number of leaves that a query may name."""


async def get_receipt(request: web.Request) -> web.StreamResponse:
    """Return one receipt, to its reader and its publisher. Raises ReceiptNotFound."""
    found = await receipts_of(request).get(request.match_info["receipt"], request[CALLER])
    return json_response(_receipt(found))


async def list_receipts(request: web.Request) -> web.StreamResponse:
    """Return the receipts of one's own request, by the answer's id. Raises ReceiptNotFound, InvalidRequest."""
    found = await receipts_of(request).of_request(_query(request, "request"), request[CALLER])
    listed: KvReceiptList = {"object": "list", "data": [_receipt(jws) for jws in found]}
    return json_response(listed)


async def get_statement(request: web.Request) -> web.StreamResponse:
    """Return the signed statement of a publisher for a period: by default its own, from the beginning to now."""
    wanted = asked_period(request.query, request[CALLER])
    return await statement_response(await made_statement(request, wanted))


async def get_statement_proof(request: web.Request) -> web.StreamResponse:
    """Prove that a receipt is in its publisher's log, or that the log of ``size`` begins with that of ``first``."""
    receipts, caller = receipts_of(request), request[CALLER]
    publisher = request.query.get("publisher") or caller.name
    if "receipt" in request.query:
        return json_response(
            _proof(await receipts.receipt_proof(publisher, request.query["receipt"], caller))
        )
    old, new = _leaves(request, "first"), _leaves(request, "size")
    return json_response(_proof(await receipts.growth_proof(publisher, old, new, caller)))


async def get_checkpoint(request: web.Request) -> web.StreamResponse:
    """Return the signed checkpoint of all that is booked now."""
    note = await receipts_of(request).checkpoint()
    origin, size, root = note.split("\n")[:3]
    answer: KvCheckpoint = {
        "object": "kv_checkpoint",
        "origin": origin,
        "size": int(size),
        "root": root,
        "note": note,
    }
    return json_response(answer)


async def get_checkpoint_proof(request: web.Request) -> web.StreamResponse:
    """Prove that the row of one's own request is in the log, or that the log of ``size`` begins with ``first``."""
    receipts = receipts_of(request)
    if "request" in request.query:
        return json_response(_proof(await receipts.row_proof(request.query["request"], request[CALLER])))
    old, new = _leaves(request, "first"), _leaves(request, "size")
    return json_response(_proof(await receipts.log_growth(old, new)))


def _receipt(jws: str) -> KvReceipt:
    claims = unverified_claims(jws)  # signed a moment ago, by this host
    return {"object": "kv_receipt", "id": claims["id"], "jws": jws, "claims": claims}


def _proof(proof: MerkleProof) -> KvProof:
    return {
        "object": "kv_proof",
        "size": proof.size,
        "root": proof.root.hex(),
        "path": [node.hex() for node in proof.path],
        "index": proof.index,
        "leaf": None if proof.leaf is None else proof.leaf.hex(),
    }


def _query(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise InvalidRequest(f"Name it in the query: ?{name}=…", param=name)
    return value


def _leaves(request: web.Request, name: str) -> int:
    number = whole_number(_query(request, name), MOST_LEAVES)
    if number is None:
        raise InvalidRequest(f"Invalid '{name}': must be a number of leaves.", param=name)
    return number
