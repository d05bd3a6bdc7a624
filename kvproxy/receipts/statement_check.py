"""`check_statements`: statements beside the receipts in hand, offline; names each removed, changed and added read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kvproxy.core import format_nano, parse_nano
from kvproxy.errors import SignatureRefused
from kvproxy.receipts.canonical_jws import unverified_claims, verify_claims
from kvproxy.receipts.merkle_tree import RightEdge
from kvproxy.receipts.receipt_claims import RECEIPT_TYP
from kvproxy.receipts.statement_claims import STATEMENT_TYP, receipt_leaf

FaultKind = Literal["signature", "removed", "changed", "added", "root", "chain", "total", "log"]

SLACK_S = 60
"""Seconds at the ends of a period in which a receipt's read may be booked in the neighbouring one."""


@dataclass(frozen=True, slots=True)
class StatementFault:
    """One thing that does not hold."""

    kind: FaultKind
    what: str
    """The receipt's id, or the statement that it is about."""
    message: str


@dataclass(frozen=True, slots=True)
class StatementCheck:
    """The result of a check: sound where there are no faults."""

    faults: tuple[StatementFault, ...]
    reads: int
    """Receipts that the statements list."""
    matched: int
    """Those of them that were in hand, signed and the same."""
    publisher_nano: int
    """The sum of the publisher's shares in the receipts that matched."""


@dataclass(frozen=True, slots=True)
class _Statement:
    name: str
    claims: Mapping[str, Any]

    @property
    def listed(self) -> dict[str, str]:
        return {str(entry["id"]): str(entry["hash"]) for entry in self.claims["receipts"]}

    @property
    def edge(self) -> RightEdge:
        return RightEdge(self.claims["first"], tuple(bytes.fromhex(peak) for peak in self.claims["edge"]))

    def edge_at(self, size: int) -> RightEdge:
        leaves = [bytes.fromhex(entry["hash"]) for entry in self.claims["receipts"]]
        return self.edge.grown(leaves[: size - self.claims["first"]])

    @property
    def is_final(self) -> bool:
        """True when all reads of its period were booked when it was made."""
        return bool(self.claims["iat"] >= self.claims["to"] + SLACK_S)

    def covers(self, at: int) -> bool:
        return bool(self.claims["from"] + SLACK_S <= at < self.claims["to"] - SLACK_S)


@dataclass(frozen=True, slots=True)
class _Receipt:
    claims: Mapping[str, Any]
    sound: bool

    @property
    def id(self) -> str:
        return str(self.claims.get("id", ""))


def check_statements(
    statements: Sequence[str],
    receipts: Iterable[str],
    jwks: Mapping[str, Any],
    *,
    complete: bool = True,
) -> StatementCheck:
    """Check compact JWS of one publisher's statements against receipts, by the host's public keys alone.

    ``removed``: a receipt that the host signed, of the period, that no statement lists. ``changed``: the statement
    lists another content under the receipt's id, or the receipt is not as the host signed it. ``added``: a statement
    lists a read for which there is no receipt; only where ``complete`` says that ``receipts`` are meant to be all.
    A statement with a wrong signature is read on, so that what is wrong in it is named.

    Example:
        ``check_statements([statement], receipts, jwks).faults``
    """
    faults: list[StatementFault] = []
    told = [_statement(text, number, jwks, faults) for number, text in enumerate(statements, 1)]
    known = [statement for statement in told if statement is not None]
    in_hand = [_receipt(text, jwks) for text in dict.fromkeys(receipts)]
    for statement in known:
        faults += _tree_faults(statement)
    faults += _chain_faults(known)
    listed = {id: hash for statement in known for id, hash in statement.listed.items()}
    matched = _compare(listed, in_hand, known, faults, complete=complete)
    faults += _total_faults(known, {receipt.id: receipt for receipt in matched})
    shares = sum(parse_nano(receipt.claims["publisher_share"]) for receipt in matched)
    return StatementCheck(tuple(faults), len(listed), len(matched), shares)


def _statement(
    text: str, number: int, jwks: Mapping[str, Any], faults: list[StatementFault]
) -> _Statement | None:
    """Read one statement; a forged one too, as far as it can be read."""
    name = f"statement {number}"
    try:
        claims = verify_claims(text, STATEMENT_TYP, jwks).claims
    except SignatureRefused as e:
        faults.append(StatementFault("signature", name, f"{name} is not as the host signed it: {e.message}"))
        claims = unverified_claims(text)
    statement = _Statement(name, claims)
    try:
        statement.edge_at(claims["size"])
        _ = (
            statement.listed,
            statement.covers(0),
            statement.is_final,
            claims["root"],
            claims["root_before"],
            hash(claims["publisher"]),
        )
        _ = (
            [parse_nano(claims[name]) for name in ("price", "publisher_share", "host_share")],
            claims["log"]["size"],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        faults.append(StatementFault("signature", name, f"{name} has not the form of a statement"))
        return None
    return statement


def _receipt(text: str, jwks: Mapping[str, Any]) -> _Receipt:
    try:
        return _Receipt(verify_claims(text, RECEIPT_TYP, jwks).claims, True)
    except SignatureRefused:
        return _Receipt(unverified_claims(text), False)


def _tree_faults(statement: _Statement) -> list[StatementFault]:
    """Compute both roots of a statement from its own list."""
    claims, found = statement.claims, []
    if statement.edge.root.hex() != claims["root_before"]:
        found.append(("root", "its edge has not the root that it names for the log before it"))
    after = statement.edge_at(claims["size"])
    if len(claims["receipts"]) != claims["size"] - claims["first"] or after.root.hex() != claims["root"]:
        found.append(("root", "the receipts that it lists have not the root that it names"))
    if len(statement.listed) != len(claims["receipts"]):
        found.append(("root", "it lists a receipt twice"))
    return [StatementFault("root", statement.name, f"{statement.name}: {message}") for _, message in found]


def _chain_faults(statements: Sequence[_Statement]) -> list[StatementFault]:
    """Compare every two statements where they overlap or touch, and the ledger's log that they commit to."""
    faults = []
    ordered = sorted(statements, key=lambda s: (s.claims["size"], s.claims["first"]))
    for place, later in enumerate(ordered):
        for earlier in ordered[:place]:
            pair = f"{earlier.name} and {later.name}"
            if earlier.claims["publisher"] != later.claims["publisher"]:
                faults.append(StatementFault("chain", later.name, f"{pair} are of two publishers"))
            elif (size := earlier.claims["size"]) >= later.claims["first"]:
                if later.edge_at(size).root.hex() != earlier.claims["root"]:
                    message = f"{pair} contradict each other: the first {size} reads are not the same"
                    faults.append(StatementFault("chain", later.name, message))
            elif earlier.is_final and earlier.claims["to"] == later.claims["from"]:
                message = (
                    f"{pair} touch, but reads {size} to {later.claims['first']} of the log are in neither"
                )
                faults.append(StatementFault("chain", later.name, message))
            one, other = earlier.claims["log"], later.claims["log"]
            if one["size"] == other["size"] and one["root"] != other["root"]:
                message = f"{pair} name two roots for one size of the host's log"
                faults.append(StatementFault("log", later.name, message))
    return faults


def _compare(
    listed: Mapping[str, str],
    in_hand: Iterable[_Receipt],
    statements: Sequence[_Statement],
    faults: list[StatementFault],
    *,
    complete: bool,
) -> list[_Receipt]:
    """Compare the lists with the receipts, by id; return the receipts that matched."""
    matched: dict[str, _Receipt] = {}
    met: set[str] = set()
    publishers = {statement.claims["publisher"] for statement in statements}
    for receipt in in_hand:
        id = receipt.id
        met.add(id)
        if not receipt.sound:
            message = f"the receipt {id or '(unreadable)'} is not as the host signed it"
            faults.append(StatementFault("changed", id, message))
        elif id not in listed:
            at = receipt.claims["iat"]
            if receipt.claims["publisher"] in publishers and any(s.covers(at) for s in statements):
                message = f"the read {id} was removed: the host signed its receipt, and no statement lists it"
                faults.append(StatementFault("removed", id, message))
        elif listed[id] != receipt_leaf(dict(receipt.claims)).hex():
            message = f"the read {id} was changed: the statement lists another content than its receipt has"
            faults.append(StatementFault("changed", id, message))
        else:
            matched[id] = receipt
    for id in listed if complete else ():
        if id not in met:
            message = f"the read {id} was added: a statement lists it, and there is no receipt for it"
            faults.append(StatementFault("added", id, message))
    return list(matched.values())


def _total_faults(statements: Sequence[_Statement], matched: Mapping[str, _Receipt]) -> list[StatementFault]:
    """Compare each statement's totals with its receipts, where all of them are in hand."""
    faults = []
    for statement in statements:
        receipts = [matched[id] for id in statement.listed if id in matched]
        if len(receipts) != len(statement.listed):
            continue
        for name in ("price", "publisher_share", "host_share"):
            total = sum(parse_nano(receipt.claims[name]) for receipt in receipts)
            if total != parse_nano(statement.claims[name]):
                said = f"its {name} is {statement.claims[name]}, its receipts sum to {format_nano(total)}"
                message = f"{statement.name}: {said}"
                faults.append(StatementFault("total", statement.name, message))
        tokens = sum(receipt.claims["tokens"] for receipt in receipts)
        if tokens != statement.claims["tokens"]:
            message = f"{statement.name}: it names {statement.claims['tokens']} tokens, its receipts {tokens}"
            faults.append(StatementFault("total", statement.name, message))
    return faults
