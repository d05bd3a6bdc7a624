"""`Receipts`: receipts by id, statements, proofs and checkpoints, for those whom they concern."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import Caller
from kvproxy.database.database import Database
from kvproxy.errors import InvalidRequest, PermissionDenied, ReceiptNotFound
from kvproxy.ledger.bookings import Booking, LedgerRow
from kvproxy.ledger.row_body import content_of
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.log_checkpoints import LogCheckpoints, MerkleProof
from kvproxy.receipts.merkle_tree import RightEdge, consistency_proof, inclusion_proof
from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.receipts.receipt_claims import RECEIPT_TYP, BookedRead, receipt_claims
from kvproxy.receipts.receipt_log import ReceiptLog, booked_read
from kvproxy.receipts.signed_note import Checkpoint, public_bytes, signed_checkpoint
from kvproxy.receipts.statement_claims import STATEMENT_TYP, StatementScope, statement_claims


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement, with its receipts where they were asked for."""

    jws: str
    claims: dict[str, Any]
    receipts: tuple[str, ...]
    checkpoint: str
    """The signed note of the log that the statement names."""


class Receipts:
    """The receipts and statements of one host. Reads the ledger's tables on a thread; signs with the host's keys.

    Example:
        ``receipts = Receipts(database, HostKeys.open(folder), host="kv.example", currency="USD")``
    """

    def __init__(
        self,
        database: Database,
        keys: HostKeys,
        *,
        host: str,
        currency: str,
        booked: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``host``: its name as an origin, without spaces. ``booked``: waits until all that is settled is booked: a
        receipt is asked for right after its answer, and rows are written in the background."""
        self._keys = keys
        self._host = host
        self._currency = currency
        self._all_booked = booked
        self._names = ReaderPseudonyms(keys.pseudonym_secret)
        self._log = ReceiptLog(database, self._names, host)
        self._checkpoints = LogCheckpoints(database)

    def of(self, booked: LedgerRow | Booking) -> tuple[str, ...]:
        """Return the receipts of a row, or of a booking that will become one: the same, to the byte.

        One for each document, in the order of the charge; none where no document was read. No I/O, 0.2 ms each.
        """
        read = booked_read(booked) if isinstance(booked, LedgerRow) else _read_of_booking(booked)
        return tuple(self._signed(read, index) for index in range(len(read.charge.documents)))

    async def get(self, receipt_id: str, caller: Caller) -> str:
        """Return a receipt, to the reader of the request and to the document's publisher. Raises ReceiptNotFound."""
        name = self._names.read_of(receipt_id)
        if name is None:
            raise ReceiptNotFound(receipt_id)
        row = await self._booked(name.request_id)
        if row is None or name.index >= len(row.charge.documents):
            raise ReceiptNotFound(receipt_id)
        publisher = row.charge.documents[name.index].read.publisher
        if caller.name not in (row.reader, publisher):
            raise ReceiptNotFound(receipt_id)
        return self._signed(booked_read(row), name.index)

    async def of_request(self, request_id: str, caller: Caller) -> tuple[str, ...]:
        """Return the receipts of one's own request, by the answer's id. Raises ReceiptNotFound."""
        row = await self._booked(request_id)
        if row is None or row.reader != caller.name:
            raise ReceiptNotFound(request_id)
        return self.of(row)

    async def statement(
        self, publisher: str, since: int, until: int, caller: Caller, *, receipts: bool = False
    ) -> SignedStatement:
        """Return the signed statement of a publisher for a period of Unix seconds. ``receipts``: with all of them.

        Raises PermissionDenied, InvalidRequest.

        Example:
            ``await receipts.statement("acme", 1_800_000_000, 1_802_592_000, caller)``
        """
        _check_party(publisher, caller)
        if until <= since:
            raise InvalidRequest("The period ends before it begins: 'to' must be after 'from'.", param="to")
        await self._settled()
        return await asyncio.to_thread(self._statement, publisher, since, until, receipts)

    async def receipt_proof(self, publisher: str, receipt_id: str, caller: Caller) -> MerkleProof:
        """Return the proof that a receipt is in its publisher's log of today.

        Raises PermissionDenied, ReceiptNotFound.

        Example:
            ``await receipts.receipt_proof("acme", claims["id"], caller)``
        """
        _check_party(publisher, caller)
        return await asyncio.to_thread(self._receipt_proof, publisher, receipt_id)

    async def growth_proof(self, publisher: str, old: int, new: int, caller: Caller) -> MerkleProof:
        """Return the proof that a publisher's log of ``new`` receipts begins with that of ``old``.

        Raises PermissionDenied, InvalidRequest.

        Example:
            ``await receipts.growth_proof("acme", statement["size"], later["size"], caller)``
        """
        _check_party(publisher, caller)
        return await asyncio.to_thread(self._growth_proof, publisher, old, new)

    async def checkpoint(self) -> str:
        """Return a signed checkpoint of the whole ledger, as a C2SP note."""
        await self._settled()
        return await asyncio.to_thread(self._checkpoint)

    async def log_growth(self, old: int, new: int) -> MerkleProof:
        """Return the proof that the ledger of ``new`` rows begins with that of ``old``. Raises InvalidRequest."""
        return await asyncio.to_thread(self._checkpoints.consistent, old, new)

    async def row_proof(self, request_id: str, caller: Caller) -> MerkleProof:
        """Return the proof that the row of one's own request is in the log. Raises ReceiptNotFound."""
        row = await self._booked(request_id)
        if row is None or row.reader != caller.name:
            raise ReceiptNotFound(request_id)
        return await asyncio.to_thread(self._checkpoints.row_included, row.seq)

    def check(self) -> list[str]:
        """Return a line for each checkpoint that the ledger of today contradicts. Blocking."""
        return self._checkpoints.check()

    def _signed(self, read: BookedRead, index: int) -> str:
        claims = receipt_claims(read, index, host=self._host, names=self._names)
        return self._keys.sign(claims, RECEIPT_TYP, at_ms=read.at_ms)

    async def _booked(self, request_id: str) -> LedgerRow | None:
        await self._settled()
        return await asyncio.to_thread(self._log.row, request_id)

    async def _settled(self) -> None:
        if self._all_booked is not None:
            await self._all_booked()

    def _statement(self, publisher: str, since: int, until: int, with_receipts: bool) -> SignedStatement:
        self._keys.refresh()
        piece = self._log.piece(publisher, since * 1000, until * 1000)
        log = self._checkpoints.advance()
        scope = StatementScope(self._host, publisher, since, until, self._currency)
        before = RightEdge().grown(piece.before)
        claims = statement_claims(scope, before, piece.receipts, log, int(time.time()))
        made: list[str] = []
        if with_receipts:
            for row in self._log.rows_between(publisher, piece.first, piece.first + len(piece.receipts)):
                read = booked_read(row)
                mine = [i for i, one in enumerate(read.charge.documents) if one.read.publisher == publisher]
                made += [self._signed(read, index) for index in mine]
        note = self._note(Checkpoint(self._host, log.size, log.root))
        return SignedStatement(self._keys.sign(claims, STATEMENT_TYP), claims, tuple(made), note)

    def _receipt_proof(self, publisher: str, receipt_id: str) -> MerkleProof:
        number = self._log.number_of(publisher, receipt_id)
        if number is None:
            raise ReceiptNotFound(receipt_id)
        leaves = self._log.leaves(publisher)
        path = inclusion_proof(number, leaves)
        return MerkleProof(len(leaves), _root(leaves), tuple(path), number, leaves[number])

    def _growth_proof(self, publisher: str, old: int, new: int) -> MerkleProof:
        leaves = self._log.leaves(publisher)
        if not 1 <= old <= new <= len(leaves):
            raise InvalidRequest(f"Sizes are 1 to {len(leaves)}, the smaller one first.", param="first")
        return MerkleProof(new, _root(leaves[:new]), tuple(consistency_proof(old, leaves[:new])))

    def _checkpoint(self) -> str:
        self._keys.refresh()
        log = self._checkpoints.advance()
        return self._note(Checkpoint(self._host, log.size, log.root))

    def _note(self, checkpoint: Checkpoint) -> str:
        def sign(message: bytes) -> tuple[bytes, bytes]:
            key, signature = self._keys.sign_bytes(message)
            return public_bytes(key.public), signature

        return signed_checkpoint(checkpoint, sign)


def _root(leaves: Sequence[bytes]) -> bytes:
    return RightEdge().grown(leaves).root


def _read_of_booking(booking: Booking) -> BookedRead:
    content = content_of(booking)
    return BookedRead(
        content.id, content.at_ms, content.reader, content.metered, content.charge, content.fingerprint
    )


def _check_party(publisher: str, caller: Caller) -> None:
    if "ledger" not in caller.permissions and "admin" not in caller.permissions:
        raise PermissionDenied("A statement needs an API key with the scope `ledger`; ask for one.")
    if publisher != caller.name and "admin" not in caller.permissions:
        raise PermissionDenied(f"Only the publisher '{publisher[:64]}' itself may have its statement.")
