"""Types of receipts, statements, proofs and checkpoints in answers."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class KvReceipt(TypedDict):
    """A receipt of one document in one request: a compact JWS, with its claims for people."""

    object: Literal["kv_receipt"]
    id: str
    jws: str
    claims: dict[str, Any]


class KvReceiptList(TypedDict):
    """The receipts of one request."""

    object: Literal["list"]
    data: list[KvReceipt]


class KvStatement(TypedDict):
    """A publisher's statement: ``jws`` signs the list of ``receipts``, the roots, the sums and the ``checkpoint``."""

    object: Literal["kv_statement"]
    publisher: str
    since: int
    until: int
    reads: int
    tokens: int
    currency: str
    publisher_share: str
    jws: str
    receipts: list[str]
    checkpoint: str


class KvProof(TypedDict):
    """A proof of RFC 9162 in a tree of ``size`` leaves; hashes are hex. ``index`` and ``leaf`` where it is of one."""

    object: Literal["kv_proof"]
    size: int
    root: str
    path: list[str]
    index: int | None
    leaf: str | None


class KvCheckpoint(TypedDict):
    """The newest checkpoint of the host's log; ``note`` is the signed text, as transparency logs write it."""

    object: Literal["kv_checkpoint"]
    origin: str
    size: int
    root: str
    note: str
