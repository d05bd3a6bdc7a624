"""`OfferedTerms`: the terms that price a document for one reader: those of its grant, else its publisher's."""

from __future__ import annotations

from kvproxy.accounts.grants import Grants
from kvproxy.core import Span
from kvproxy.errors import AccountNotFound
from kvproxy.tariffs import FREE, DocumentTerms
from kvproxy.tariffs.terms_book import TermsBook


class OfferedTerms:
    """Terms by grant and document. Mostly look-ups in memory; old terms of a grant ask the database, on a thread.

    Example:
        ``OfferedTerms(grants, book).of("handbook", "acme", "grant_0123456789abcdef")``
    """

    def __init__(self, grants: Grants, book: TermsBook) -> None:
        self._grants = grants
        self._book = book

    def of(self, document_id: str, publisher: str, grant: str | None = None) -> DocumentTerms:
        """Return the terms now.

        Example:
            ``terms.of("handbook", "acme").share_ppm``
        """
        if not publisher:
            return FREE  # nobody is paid where the publisher is gone
        own = self._of_grant(grant) if grant is not None else None
        return self._book.terms(document_id, publisher) if own is None else own

    def of_span(self, span: Span) -> DocumentTerms:
        """Return the terms of a document in a prompt, by the grant that let the reader in."""
        return self.of(span.document.id, span.publisher, span.grant)

    def licence(self, document_id: str, publisher: str) -> str:
        """Return the licence that the publisher has chosen with the terms; empty for none."""
        chosen = self._book.chosen(document_id, publisher)
        return "" if chosen is None else chosen.licence

    def _of_grant(self, grant: str) -> DocumentTerms | None:
        try:
            terms = self._grants.get(grant).terms
        except AccountNotFound:
            return None
        return None if terms is None else self._book.by_id(terms)
