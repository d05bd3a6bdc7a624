"""`check_checkpoints`: checkpoints beside one another and beside the statements that name them, offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.errors import SignatureRefused
from kvproxy.receipts.canonical_jws import unverified_claims
from kvproxy.receipts.signed_note import Checkpoint, verify_checkpoint
from kvproxy.receipts.statement_check import StatementFault


def check_checkpoints(
    statements: Sequence[str], notes: Sequence[str], jwks: Mapping[str, Any]
) -> list[StatementFault]:
    """Check that every note is signed, and that no size of the log has two roots, in notes or statements.

    A statement's own signature is not looked at here: ``check_statements`` does that.

    Example:
        ``check_checkpoints([statement], [checkpoint_note], jwks)``
    """
    faults: list[StatementFault] = []
    roots: dict[int, str] = {}
    for number, jws in enumerate(statements, 1):
        log = unverified_claims(jws).get("log")
        if isinstance(log, dict) and isinstance(log.get("size"), int):
            roots.setdefault(log["size"], str(log.get("root")))
        else:
            faults.append(_fault(f"statement {number}", "it names no checkpoint of the host's log"))
    for number, note in enumerate(dict.fromkeys(notes), 1):
        name = f"checkpoint {number}"
        try:
            told: Checkpoint = verify_checkpoint(note, jwks)
        except SignatureRefused as e:
            faults.append(StatementFault("signature", name, f"{name}: {e.message}"))
            continue
        if roots.setdefault(told.size, told.root.hex()) != told.root.hex():
            message = f"the log of {told.size} rows has another root in a statement or an earlier checkpoint"
            faults.append(_fault(name, message))
    return faults


def _fault(name: str, message: str) -> StatementFault:
    return StatementFault("log", name, f"{name}: {message}")
