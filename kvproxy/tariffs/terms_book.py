"""`TermsBook`: the terms that publishers have set for their documents, in the database, with lookups in memory."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right, insort

from sqlalchemy import Connection, func, insert, select

from kvproxy.database.announcements import ChangeTopic, announce
from kvproxy.database.database import Database
from kvproxy.database.database_away import database_away
from kvproxy.database.tables.tariff_tables import DOCUMENT_TERMS, TERMS
from kvproxy.errors import InvalidRequest
from kvproxy.tariffs.appended_rows import lock_rows, next_seq
from kvproxy.tariffs.document_terms import FREE, DocumentTerms
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.tariff_file import format_time
from kvproxy.tariffs.tariff_history import now_in_ms
from kvproxy.tariffs.terms_rows import ChosenTerms, keep_terms, read_choices, read_terms


class TermsBook:
    """Terms by document and by id. ``terms`` and ``known`` are lookups in memory, safe on the event loop and from any
    thread; the other methods use the database and block."""

    def __init__(self, database: Database, tariffs: Tariffs) -> None:
        """Keep the database, and the tariffs, which have the terms of documents without any. Nothing is read: call
        ``refresh``."""
        self._database = database
        self._tariffs = tariffs
        self._lock = threading.Lock()
        self._seq = 0
        self._counted = 0
        self._chosen: dict[tuple[str, str], list[ChosenTerms]] = {}
        self._beginnings: list[int] = []
        """When choices began that were known before, ascending; replaced, never changed."""
        self._discounted: frozenset[str] = frozenset()
        # All terms of the table: publishers share most of theirs, and each is a few hundred bytes.
        self._by_id: dict[str, DocumentTerms] = {FREE.id: FREE}

    def terms(self, document_id: str, publisher: str, at_ms: int | None = None) -> DocumentTerms:
        """Return the terms of a document, all versions, now or at a later moment: the publisher's, else the tariff's.

        Example: ``book.terms("handbook", "acme")``
        """
        at = now_in_ms() if at_ms is None else at_ms
        chosen = self.chosen(document_id, publisher, at)
        if chosen is not None:
            return chosen.terms
        tariff = self._tariffs.at(at)
        return FREE if tariff is None else tariff.documents

    def chosen(self, document_id: str, publisher: str, at_ms: int | None = None) -> ChosenTerms | None:
        """Return the publisher's own choice, now or at a later moment; None where it has chosen nothing.

        Example: ``book.chosen("handbook", "acme")``
        """
        at = now_in_ms() if at_ms is None else at_ms
        choices = self._chosen.get((publisher, document_id), ())
        place = bisect_right(choices, at, key=_beginning)
        return choices[place - 1] if place else None

    @property
    def changes(self) -> int:
        """The number of choices that are known: another one after each change."""
        return self._seq

    def begun(self, at_ms: int) -> int:
        """Return a number that is another one once a choice has begun that was made for later."""
        return bisect_right(self._beginnings, at_ms)

    def discounted(self) -> frozenset[str]:
        """Return the ids of the documents that some publisher has chosen terms for with a discount for text readers,
        at any time."""
        return self._discounted

    def known(self, terms_id: str) -> DocumentTerms | None:
        """Return terms that are in memory: all that were recorded, as of the last refresh."""
        return self._by_id.get(terms_id)

    def by_id(self, terms_id: str) -> DocumentTerms | None:
        """Return terms that were recorded at any time; None for an unknown id. Asks the database for terms that were
        recorded since the last refresh."""
        found = self.known(terms_id)
        if found is None:
            with self._database.snapshot() as db:
                found = read_terms(db, terms_id)
            if found is not None:
                self._by_id[terms_id] = found
        return found

    def keep(self, terms: DocumentTerms) -> str:
        """Record terms that no document has, such as a grant's, and return their id."""
        with database_away("Terms"), self._database.transaction() as db:
            found = keep_terms(db, terms)
        self._by_id[found] = terms
        return found

    def set_terms(
        self,
        document_id: str,
        publisher: str,
        terms: DocumentTerms,
        valid_from_ms: int | None = None,
        now_ms: int | None = None,
        *,
        licence: str = "",
    ) -> bool:
        """Record a publisher's terms of a document, valid from now or later; False where they are valid already.
        ``licence``: a few words for readers on what they may do with answers.

        Raises InvalidRequest for a beginning in the past: reads since then were charged.

        Example:
            ``book.set_terms("handbook", "acme", DocumentTerms(kind="share", share_ppm=300_000))``
        """
        now = now_in_ms() if now_ms is None else now_ms
        begins = now if valid_from_ms is None else valid_from_ms
        if begins < now:
            raise InvalidRequest(
                f"terms cannot begin in the past, at {format_time(begins)}: reads since then were charged by others; "
                "leave the beginning out, and they are valid from now on",
                param="valid_from",
            )
        with database_away("Terms"), self._database.transaction() as db:
            lock_rows(db, DOCUMENT_TERMS)
            announce(db, ChangeTopic.PRICES)
            self._load(db)
            before = self.chosen(document_id, publisher, begins)
            if before is not None and (before.terms, before.licence) == (terms, licence):
                return False
            row = {
                "seq": next_seq(db, DOCUMENT_TERMS),
                "publisher": publisher,
                "document": document_id,
                "terms": keep_terms(db, terms),
                "licence": licence,
                "valid_from_ms": begins,
                "recorded_ms": now,
            }
            db.execute(insert(DOCUMENT_TERMS).values(row))
        self.refresh()
        return True

    def history(self, document_id: str, publisher: str) -> list[ChosenTerms]:
        """Read all choices of a publisher for a document, the earliest first, those to come included."""
        with self._database.snapshot() as db:
            return read_choices(db, document_id, publisher)

    def refresh(self) -> None:
        """Read what other processes have recorded."""
        with self._database.snapshot() as db:
            if (count := db.execute(select(func.count()).select_from(TERMS)).scalar_one()) != self._counted:
                for terms_id, body in db.execute(select(TERMS.c.id, TERMS.c.body)):
                    if terms_id not in self._by_id:
                        self._by_id[terms_id] = DocumentTerms.from_json(json.loads(body))
                self._counted = count
            if db.execute(select(func.max(DOCUMENT_TERMS.c.seq))).scalar() not in (None, self._seq):
                self._load(db)

    def _load(self, db: Connection) -> None:
        columns = (
            DOCUMENT_TERMS.c.seq,
            DOCUMENT_TERMS.c.publisher,
            DOCUMENT_TERMS.c.document,
            DOCUMENT_TERMS.c.valid_from_ms,
            DOCUMENT_TERMS.c.licence,
            TERMS.c.id,
            TERMS.c.body,
        )
        joined = select(*columns).join(TERMS, TERMS.c.id == DOCUMENT_TERMS.c.terms)
        with self._lock:
            beginnings, discounted = list(self._beginnings), set(self._discounted)
            rows = db.execute(joined.where(DOCUMENT_TERMS.c.seq > self._seq).order_by(DOCUMENT_TERMS.c.seq))
            now, last = now_in_ms(), self._seq
            for seq, publisher, document, begins, licence, terms_id, body in rows:
                terms = self._by_id.get(terms_id) or DocumentTerms.from_json(json.loads(body))
                self._by_id[terms_id] = terms
                self._choose((publisher, document), ChosenTerms(begins, terms, licence), now)
                if begins > now:
                    insort(beginnings, begins)
                if terms.text_readers == "discount":
                    discounted.add(document)
                last = seq
            # The number comes last: whoever sees it sees all that it counts.
            self._beginnings, self._discounted = beginnings, frozenset(discounted)
            self._seq = last

    def _choose(self, key: tuple[str, str], choice: ChosenTerms, now: int) -> None:
        """Add one choice to a document's. A new list takes the place of the old one: lookups hold no lock."""
        chosen = [one for one in self._chosen.get(key, ()) if one.valid_from_ms != choice.valid_from_ms]
        chosen.insert(bisect_right(chosen, choice.valid_from_ms, key=_beginning), choice)
        over = bisect_right(chosen, now, key=_beginning) - 1
        self._chosen[key] = chosen[max(0, over) :]


def _beginning(choice: ChosenTerms) -> int:
    return choice.valid_from_ms
