"""`LogCheckpoints`: the ledger's rows as a Merkle tree that only grows, and checkpoints of it. Blocking."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_ROWS
from kvproxy.database.tables.receipt_tables import LOG_EDGES
from kvproxy.errors import InvalidRequest
from kvproxy.receipts.merkle_tree import RightEdge, consistency_proof, inclusion_proof, leaf_hash
from kvproxy.receipts.statement_claims import LogRoot

MOST_PROVEN = 2_000_000
"""Rows up to which a proof is computed: it reads their hashes, some microseconds each."""


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """A path in a tree of ``size`` leaves."""

    size: int
    root: bytes
    path: tuple[bytes, ...]
    index: int | None = None
    """The leaf that it is about; None for a consistency proof."""
    leaf: bytes | None = None


class LogCheckpoints:
    """The tree whose leaves are the hashes of the ledger's rows, the first row's first.

    Example:
        ``LogCheckpoints(database).advance().size``
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def advance(self) -> LogRoot:
        """Return the root over all rows that are booked; reads those since the last call, and notes the new edge."""
        with self._database.snapshot() as db:
            before = self._newest(db)
            hashes = db.execute(
                select(LEDGER_ROWS.c.hash).where(LEDGER_ROWS.c.seq > before.size).order_by(LEDGER_ROWS.c.seq)
            ).scalars()
            after = before.grown(leaf_hash(bytes.fromhex(one)) for one in hashes)
        if after.size > before.size:
            self._note(after)
        return LogRoot(after.size, after.root)

    def row_included(self, seq: int) -> MerkleProof:
        """Return the proof that row ``seq`` is in the tree of the newest checkpoint. Raises InvalidRequest."""
        size = self.advance().size
        leaves = self._leaves(size)
        if not 1 <= seq <= size:
            raise InvalidRequest(f"The log has {size} rows, and none at {seq}.", param="row")
        path = inclusion_proof(seq - 1, leaves)
        return MerkleProof(size, RightEdge().grown(leaves).root, tuple(path), seq - 1, leaves[seq - 1])

    def consistent(self, old: int, new: int) -> MerkleProof:
        """Return the proof that the tree of ``new`` rows begins with that of ``old``. Raises InvalidRequest."""
        size = self.advance().size
        if not 1 <= old <= new <= size:
            raise InvalidRequest(f"Sizes are 1 to {size}, the smaller one first.", param="first")
        leaves = self._leaves(new)
        return MerkleProof(new, RightEdge().grown(leaves).root, tuple(consistency_proof(old, leaves)))

    def check(self) -> list[str]:
        """Return a line for each noted edge that the ledger's rows of today contradict; empty when sound."""
        faults = []
        with self._database.snapshot() as db:
            edges = db.execute(select(LOG_EDGES.c.size, LOG_EDGES.c.root).order_by(LOG_EDGES.c.size)).all()
        leaves = self._leaves(edges[-1].size) if edges else []
        edge = RightEdge()
        for size, root in edges:
            edge = edge.grown(leaves[edge.size : size])
            if edge.size != size or edge.root.hex() != root:
                faults.append(
                    f"the first {size} rows are not those that the checkpoint of that size was made of"
                )
        return faults

    def _newest(self, db: Connection) -> RightEdge:
        row = db.execute(select(LOG_EDGES).order_by(LOG_EDGES.c.size.desc()).limit(1)).one_or_none()
        if row is None:
            return RightEdge()
        return RightEdge(row.size, tuple(bytes.fromhex(peak) for peak in json.loads(row.peaks)))

    def _note(self, edge: RightEdge) -> None:
        values = {
            "size": edge.size,
            "peaks": json.dumps([peak.hex() for peak in edge.peaks]),
            "root": edge.root.hex(),
            "made_ms": int(time.time() * 1000),
        }
        try:
            with self._database.transaction() as db:
                db.execute(insert(LOG_EDGES).values(values))
        except IntegrityError:
            pass  # another process has noted the edge of this size, which is the same

    def _leaves(self, size: int) -> list[bytes]:
        if size > MOST_PROVEN:
            raise InvalidRequest(
                f"The log has more than {MOST_PROVEN} rows: export the ledger and compute the proof from it.",
                param="size",
            )
        rows = select(LEDGER_ROWS.c.hash).where(LEDGER_ROWS.c.seq <= size).order_by(LEDGER_ROWS.c.seq)
        with self._database.snapshot() as db:
            return [leaf_hash(bytes.fromhex(one)) for one in db.execute(rows).scalars()]
