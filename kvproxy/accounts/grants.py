"""`Grants`: permissions to load documents by reference, kept in the database and looked up in memory."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace

from sqlalchemy import Connection, event

from kvproxy.accounts import account_rows, grant_rows
from kvproxy.accounts.account_values import checked_limit, now_ms, shown_id, storable
from kvproxy.accounts.grant_values import Grant, GrantIndex, GrantUse
from kvproxy.core import Caller
from kvproxy.database.database import Database
from kvproxy.errors import AccountNotFound, InvalidRequest

MOST_GRANTS = 100_000
"""Grants of one publisher that are not revoked: all are kept in memory."""


class Grants:
    """The grants of one database. ``grant_for`` and lists are of memory; changes, ``load`` and ``refresh`` block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = GrantIndex()
        self._uses: dict[str, GrantUse] = {}
        self._loading = threading.Lock()
        self._counting = threading.Lock()

    def grant_for(
        self, document_id: str, version: int, publisher: str, caller: Caller, now_ms: int
    ) -> Grant | None:
        """Return the grant by which a caller may load a document version now, or None.

        Caps count what was noted as used: requests that run at the same time do not see one another.

        Example:
            ``grants.grant_for("handbook", 3, "acme", caller, now_ms())``
        """

        return self._index.best(
            publisher, document_id, version, caller, lambda grant: self._ended(grant, now_ms) is None
        )

    def ended_for(
        self, document_id: str, version: int, publisher: str, caller: Caller, now_ms: int
    ) -> str | None:
        """Return why the grant that a caller once had counts no more; None for one who never had any.

        Example:
            ``grants.ended_for("handbook", 3, "acme", caller, now_ms())``
        """
        grant = self._index.best(publisher, document_id, version, caller, lambda grant: True)
        return None if grant is None else self._ended(grant, now_ms)

    def documents_of(self, caller: Caller | None) -> frozenset[str]:
        """Return the ids of the documents that a grant names or named this caller for, of any publisher; None: those
        that a grant is or was for everybody."""
        return self._index.documents_of(caller)

    def _ended(self, grant: Grant, now_ms: int) -> str | None:
        if grant.revoked_ms is not None:
            return f"the grant {grant.id} was revoked; ask its publisher for another."
        if grant.expires_ms is not None and grant.expires_ms <= now_ms:
            return f"the grant {grant.id} has expired; ask its publisher for another."
        if self._uses.get(grant.id, GrantUse()).exhausts(grant):
            return f"the grant {grant.id} is used up; ask its publisher for another."
        return None

    @property
    def generation(self) -> int:
        """The number of changes of accounts that the grants in memory hold."""
        return self._index.number

    def list(self, publisher: str | None = None) -> list[Grant]:
        """Return the grants of one publisher or of all, the oldest first."""
        found = [g for g in self._index.grants.values() if publisher in (None, g.publisher)]
        return sorted(found, key=lambda grant: (grant.created_ms, grant.id))

    def get(self, id: str) -> Grant:
        """Return a grant. Raises AccountNotFound."""
        found = self._index.grants.get(id)
        if found is None:
            raise AccountNotFound(f"There is no grant with the id '{shown_id(id)}'.", param="grant")
        return found

    def create(self, wanted: Grant) -> Grant:
        """Write a grant, with an id and a time of its own. Blocking. Raises InvalidRequest."""
        grant = replace(wanted, id=f"grant_{secrets.token_hex(8)}", created_ms=now_ms(), revoked_ms=None)
        _check(grant)
        with account_rows.account_change(self._database) as db:
            if grant_rows.count_live(db, grant.publisher) >= MOST_GRANTS:
                raise InvalidRequest(f"There are {MOST_GRANTS} grants of this publisher. Revoke some first.")
            grant_rows.add_grant(db, grant)
        self.load()
        return grant

    def revoke(self, id: str) -> Grant:
        """End a grant now; one that was revoked before stays as it is. Blocking. Raises AccountNotFound."""
        grant = self.get(id)
        if grant.revoked_ms is None:
            with account_rows.account_change(self._database) as db:
                grant_rows.set_revoked(db, id, now_ms())
            self.load()
        return self.get(id)

    def use(self, id: str) -> GrantUse:
        """Read what was read by a grant. Blocking."""
        with self._database.snapshot() as db:
            return grant_rows.read_use(db, id)

    def known_use(self, id: str) -> GrantUse:
        """Return what was read by a grant, as memory has it: without what another process has booked just now."""
        return self._uses.get(id, GrantUse())

    def note_use(self, db: Connection, grant_id: str, tokens: int, nano: int) -> None:
        """Count one read by a grant, within the transaction that books it. Blocking; from any thread.

        It counts for ``grant_for`` in this process as soon as that transaction commits.

        Example:
            ``grants.note_use(db, grant.id, tokens=3774, nano=120_000)``
        """
        grant_rows.add_use(db, grant_id, tokens, nano)

        def committed(_: Connection) -> None:
            with self._counting:
                self._uses[grant_id] = self._uses.get(grant_id, GrantUse()).plus(tokens, nano)

        event.listen(db, "commit", committed, once=True)

    def load(self) -> None:
        """Read all grants and uses. Blocking."""
        with self._loading, self._database.snapshot() as db:
            self._index = grant_rows.read_grants(db)
            self._take(grant_rows.read_uses(db))

    def refresh(self) -> None:
        """Read what other processes have used, and all grants where any has changed. Blocking."""
        with self._database.snapshot() as db:
            number = account_rows.change_number(db)
            uses = grant_rows.read_uses(db)
        self._take(uses)
        if number != self._index.number:
            self.load()

    def _take(self, uses: dict[str, GrantUse]) -> None:
        """Take sums over. What was booked here after they were read is kept, since sums never shrink."""
        with self._counting:
            kept = self._uses
            self._uses = {id: use.at_least(kept.get(id, GrantUse())) for id, use in uses.items()}


def _check(grant: Grant) -> None:
    for name in ("max_reads", "max_tokens", "max_nano"):
        checked_limit(getattr(grant, name), param=name.replace("nano", "amount"))
    if grant.reader is not None and not storable(grant.reader):
        raise InvalidRequest("Invalid 'id': no reader has such an id.", param="id")
    if grant.expires_ms is not None and grant.expires_ms <= now_ms():
        raise InvalidRequest("Invalid 'expires_in_s': the grant would have expired already.")
