"""`MarketRights`: the market's answers about granted documents, from grants, tenants and terms in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.core import Caller
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.reading_rights import REFUSED, Right
from kvproxy.tariffs.terms_book import TermsBook


def now_in_ms() -> int:
    """Return the time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class MarketRights:
    """Implements ``ReadingRights``. Answers are lookups in memory, in any thread.

    Example:
        ``library = Library(MarketRights(accounts, grants, terms))``
    """

    def __init__(
        self,
        accounts: Accounts,
        grants: Grants,
        terms: TermsBook,
        clock_ms: Callable[[], int] = now_in_ms,
    ) -> None:
        self._accounts = accounts
        self._grants = grants
        self._terms = terms
        self._clock_ms = clock_ms

    @property
    def generation(self) -> Hashable:
        """Another value whenever a grant or an account has changed."""
        return self._grants.generation

    @property
    def policies(self) -> Hashable:
        """Another value whenever a publisher's terms have changed, or such that were set for later have begun."""
        return (self._terms.changes, self._terms.begun(self._clock_ms()), self._grants.generation)

    def granted_ids(self, caller: Caller) -> Collection[str]:
        """Return the documents of the caller's grants, those that have ended included."""
        return self._grants.documents_of(caller)

    def shared_ids(self) -> Collection[str]:
        """Return the documents of grants for everybody, and those for which a publisher has ever chosen terms with a
        discount for text readers."""
        return self._grants.documents_of(None) | self._terms.discounted()

    def right(self, document: Document, caller: Caller) -> Right:
        """Return the best grant that is valid now."""
        publisher = self.publisher(document.owner_scope)
        now = self._clock_ms()
        grant = self._grants.grant_for(document.id, document.version, publisher, caller, now)
        return REFUSED if grant is None else Right(allowed=True, grant=grant.id)

    def refusal(self, document: Document, caller: Caller) -> str | None:
        """Return why a grant that the caller had counts no more."""
        publisher = self.publisher(document.owner_scope)
        return self._grants.ended_for(document.id, document.version, publisher, caller, self._clock_ms())

    def serves_texts(self, document: Document) -> bool:
        """Return the publisher's own choice. One who has chosen no terms has opened the pages to nobody, whatever the
        tariff says of documents without terms."""
        chosen = self._terms.chosen(document.id, self.publisher(document.owner_scope), self._clock_ms())
        return chosen is not None and chosen.terms.text_readers == "discount"

    def publisher(self, owner_scope: str) -> str:
        """Return the tenant of a scope; empty for one whose tenant is not known."""
        return self._accounts.tenant_of(owner_scope)
